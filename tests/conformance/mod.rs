//! What every provider of accounts has to be good for, end to end and both ways: each of these journeys is made with each
//! of them. A journey that holds a known failure of calendar systems has the name of its scenario (`docs/scenarios.md`).

macro_rules! with_each_provider {
    ($($journey:ident),+ $(,)?) => {
        mod google {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $journey() {
                    super::$journey::<crate::harness::google::GoogleHarness>().await;
                }
            )+
        }

        mod microsoft {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $journey() {
                    super::$journey::<crate::harness::microsoft::MicrosoftHarness>().await;
                }
            )+
        }
    };
}

mod failures;
mod linking;
mod reading;
mod series;
mod writing;
