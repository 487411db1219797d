//! What a row of refused beats means, and when it is worth saying: a pure table without clock or network.

use crate::platform::error::CallError;

/// A count of refusals at which the operator is told loudly for the first time.
const LOUD_AT: u32 = 3;
/// After that, every so many further refusals.
const LOUD_EVERY: u32 = 20;

/// How the platform has been treating this workspace's token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// The last answer that said anything about the token accepted it.
    #[default]
    Fine,
    /// It was refused `streak` times with no acceptance in between.
    Refused {
        /// At least 1.
        streak: u32,
    },
}

/// What a beat said about the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeatOutcome {
    /// 2xx.
    Accepted,
    /// 401 or 403.
    Refused,
    /// A server failure, a transport failure or any other status: it says nothing about the token.
    Silent,
}

impl BeatOutcome {
    /// Reads the outcome of a call.
    #[must_use]
    pub fn of<T>(result: &Result<T, CallError>) -> Self {
        match result {
            Ok(_) => Self::Accepted,
            Err(CallError::Refused { .. }) => Self::Refused,
            Err(_) => Self::Silent,
        }
    }
}

/// What to tell the operator after a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    Carry,
    /// A warning: the token may be revoked; `nth` of three.
    Warn {
        /// 1 or 2.
        nth: u32,
    },
    /// An error with the remedy: the token is revoked.
    Loud {
        /// Refusals in a row.
        streak: u32,
    },
    /// The token works again after `streak` refusals.
    Recovered {
        /// Refusals before the recovery.
        streak: u32,
    },
}

impl Standing {
    /// The standing after one more beat, and what to say about it.
    #[must_use]
    pub fn after(self, outcome: BeatOutcome) -> (Self, Advice) {
        match (self, outcome) {
            (standing, BeatOutcome::Silent) => (standing, Advice::Carry),
            (Self::Fine, BeatOutcome::Accepted) => (Self::Fine, Advice::Carry),
            (Self::Refused { streak }, BeatOutcome::Accepted) => (Self::Fine, Advice::Recovered { streak }),
            (standing, BeatOutcome::Refused) => {
                let streak = standing.streak().saturating_add(1);
                let advice = match streak {
                    nth if nth < LOUD_AT => Advice::Warn { nth },
                    _ if (streak - LOUD_AT).is_multiple_of(LOUD_EVERY) => Advice::Loud { streak },
                    _ => Advice::Carry,
                };
                (Self::Refused { streak }, advice)
            }
        }
    }

    /// Refusals in a row.
    #[must_use]
    pub fn streak(self) -> u32 {
        match self {
            Self::Fine => 0,
            Self::Refused { streak } => streak,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use BeatOutcome::{Accepted, Refused, Silent};

    /// What is said over a run of beats, silence left out, each with the number of its beat.
    fn said(beats: impl IntoIterator<Item = BeatOutcome>) -> Vec<(usize, Advice)> {
        let mut standing = Standing::Fine;
        let mut said = Vec::new();
        for (at, beat) in beats.into_iter().enumerate() {
            let (next, advice) = standing.after(beat);
            standing = next;
            if advice != Advice::Carry {
                said.push((at + 1, advice));
            }
        }
        said
    }

    #[test]
    fn refusals_warn_twice_then_shout_at_3_and_every_20() {
        assert_eq!(
            said([Refused; 44]),
            [
                (1, Advice::Warn { nth: 1 }),
                (2, Advice::Warn { nth: 2 }),
                (3, Advice::Loud { streak: 3 }),
                (23, Advice::Loud { streak: 23 }),
                (43, Advice::Loud { streak: 43 }),
            ]
        );
    }

    #[test]
    fn server_and_transport_failures_neither_count_nor_reset() {
        assert_eq!(
            said([Refused, Silent, Refused, Silent, Silent, Refused]),
            [
                (1, Advice::Warn { nth: 1 }),
                (3, Advice::Warn { nth: 2 }),
                (6, Advice::Loud { streak: 3 })
            ]
        );
        assert_eq!(said([Silent; 50]), []);
    }

    #[test]
    fn acceptance_resets_and_is_said_once() {
        assert_eq!(
            said([Refused, Accepted, Accepted, Refused]),
            [
                (1, Advice::Warn { nth: 1 }),
                (2, Advice::Recovered { streak: 1 }),
                (4, Advice::Warn { nth: 1 })
            ]
        );
    }

    proptest! {
        /// The same in other words: how often it was refused since the last acceptance decides everything.
        #[test]
        fn what_is_said_depends_on_the_refusals_since_the_last_acceptance_alone(
            beats in prop::collection::vec(prop_oneof![4 => Just(Refused), 1 => Just(Accepted), 2 => Just(Silent)], 0..200)
        ) {
            let mut refusals = 0;
            let mut standing = Standing::Fine;
            for beat in beats {
                let (next, advice) = standing.after(beat);
                let expected = match beat {
                    Silent => Advice::Carry,
                    Accepted => match std::mem::take(&mut refusals) {
                        0 => Advice::Carry,
                        streak => Advice::Recovered { streak },
                    },
                    Refused => {
                        refusals += 1;
                        match refusals {
                            nth @ (1 | 2) => Advice::Warn { nth },
                            streak if streak % 20 == 3 => Advice::Loud { streak },
                            _ => Advice::Carry,
                        }
                    }
                };
                prop_assert_eq!(advice, expected);
                prop_assert_eq!(next.streak(), refusals);
                prop_assert_eq!(next == Standing::Fine, refusals == 0);
                standing = next;
            }
        }
    }

    #[test]
    fn only_401_and_403_say_anything_about_the_token() {
        let cases = [
            (Ok(()), Accepted),
            (
                Err(CallError::Refused {
                    status: 401,
                    detail: String::new(),
                }),
                Refused,
            ),
            (
                Err(CallError::Refused {
                    status: 403,
                    detail: String::new(),
                }),
                Refused,
            ),
            (
                Err(CallError::Rejected {
                    status: 500,
                    detail: String::new(),
                    body: None,
                }),
                Silent,
            ),
            (
                Err(CallError::Rejected {
                    status: 404,
                    detail: String::new(),
                    body: None,
                }),
                Silent,
            ),
            (
                Err(CallError::Throttled {
                    status: 429,
                    retry_after: None,
                }),
                Silent,
            ),
            (Err(CallError::Unreachable { detail: String::new() }), Silent),
            (Err(CallError::Interrupted { detail: String::new() }), Silent),
        ];
        for (result, outcome) in cases {
            assert_eq!(BeatOutcome::of(&result), outcome, "{result:?}");
        }
    }
}
