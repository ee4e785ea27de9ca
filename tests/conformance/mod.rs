//! Conformance tests: end-to-end journeys in both directions that run with each account provider. A journey that covers
//! a known failure of calendar systems has the name of its scenario (`docs/scenarios.md`).

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

mod clocks;
mod coverage;
mod failures;
mod linking;
mod outages;
mod reading;
mod rules;
mod series;
mod writing;
