//! Many small worlds with accidents in them, each repeatable from its seed.

mod crashes;
mod faults;

/// How many worlds; more with `CALWEAVE_SEEDS`.
fn seeds() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var("CALWEAVE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25)
}

/// SplitMix64: the same throws from the same seed, on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}
