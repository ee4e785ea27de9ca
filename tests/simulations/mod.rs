//! Many small worlds with accidents in them, each repeatable from its seed.

mod crashes;
