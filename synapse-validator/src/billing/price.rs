//! What tokens cost.

use synapse_core::Micros;

/// What the tokens of one model cost: units for each *million* of them, so that small prices are exact.
///
/// The charge of a request is rounded once, up to the next millionth of a unit: what costs something is never free, and a
/// request never costs more than a millionth above its price.
///
/// ```
/// use synapse_core::Micros;
/// use synapse_validator::billing::Price;
///
/// let price = Price::per_million("0.15".parse()?, "0.60".parse()?);
/// // 1,000 × 0.15 + 500 × 0.60 units, over a million.
/// assert_eq!(price.charge(1_000, 500), Some(Micros(450)));
/// assert_eq!(price.charge(1, 0), Some(Micros(1)));
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    prompt: Micros,
    completion: Micros,
}

/// How many tokens a price is for.
const TOKENS: u128 = 1_000_000;

impl Price {
    /// Nothing.
    pub const FREE: Self = Self {
        prompt: Micros::ZERO,
        completion: Micros::ZERO,
    };

    /// So much for a million tokens of prompts, and so much for a million of replies.
    #[must_use]
    pub fn per_million(prompt: Micros, completion: Micros) -> Self {
        Self { prompt, completion }
    }

    /// What a million tokens of prompts cost.
    #[must_use]
    pub fn prompt(self) -> Micros {
        self.prompt
    }

    /// What a million tokens of replies cost.
    #[must_use]
    pub fn completion(self) -> Micros {
        self.completion
    }

    /// Whether everything costs nothing.
    #[must_use]
    pub fn is_free(self) -> bool {
        self == Self::FREE
    }

    /// What so many tokens cost together, rounded up once; `None` where there is no such number.
    #[must_use]
    pub fn charge(self, prompt: u64, completion: u64) -> Option<Micros> {
        let exact = self.exact(prompt, completion)?;
        u64::try_from(exact.div_ceil(TOKENS)).ok().map(Micros)
    }

    /// How many tokens of replies, beside this prompt, cost `budget` at most; `None` where the prompt alone costs more.
    pub(crate) fn affords(self, prompt: u64, budget: Micros) -> Option<u64> {
        let budget = u128::from(budget.0) * TOKENS;
        let left = budget.checked_sub(self.exact(prompt, 0)?)?;
        let tokens = left.checked_div(u128::from(self.completion.0));
        Some(tokens.map_or(u64::MAX, |tokens| u64::try_from(tokens).unwrap_or(u64::MAX)))
    }

    /// The charge in millionths of a millionth.
    fn exact(self, prompt: u64, completion: u64) -> Option<u128> {
        let cost = |price: Micros, tokens: u64| u128::from(price.0) * u128::from(tokens);
        cost(self.prompt, prompt).checked_add(cost(self.completion, completion))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_charge_is_its_price_rounded_up_once(
            prompt in 0..5_000_000_000_u64, completion in 0..5_000_000_000_u64,
            tokens in 0..10_000_000_u64, reply in 0..10_000_000_u64,
        ) {
            let price = Price::per_million(Micros(prompt), Micros(completion));
            let charge = u128::from(price.charge(tokens, reply).unwrap().0);
            let exact = u128::from(prompt) * u128::from(tokens) + u128::from(completion) * u128::from(reply);
            prop_assert!(charge * TOKENS >= exact);
            prop_assert!(charge * TOKENS < exact + TOKENS);
        }

        #[test]
        fn what_a_budget_affords_fits_and_one_token_more_does_not(
            prompt in 0..5_000_000_u64, completion in 1..5_000_000_u64,
            tokens in 0..10_000_u64, budget in 0..1_000_000_u64,
        ) {
            let price = Price::per_million(Micros(prompt), Micros(completion));
            let budget = Micros(budget);
            match price.affords(tokens, budget) {
                Some(reply) => {
                    prop_assert!(price.charge(tokens, reply).unwrap() <= budget);
                    prop_assert!(price.charge(tokens, reply + 1).unwrap() > budget);
                }
                None => prop_assert!(price.charge(tokens, 0).unwrap() > budget),
            }
        }
    }

    #[test]
    fn what_no_number_holds_is_no_charge() {
        let dear = Price::per_million(Micros(u64::MAX), Micros(u64::MAX));
        assert_eq!(dear.charge(u64::MAX, u64::MAX), None);
        assert_eq!(dear.charge(1_000_000, 0), Some(Micros(u64::MAX)));
        assert_eq!(Price::FREE.charge(u64::MAX, u64::MAX), Some(Micros::ZERO));
        assert_eq!(Price::FREE.affords(u64::MAX, Micros::ZERO), Some(u64::MAX));
    }
}
