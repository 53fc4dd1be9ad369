//! Random operations, on a chain and on the model: the same verdicts and the same state after each, also after the
//! chain was opened again, and when all of its blocks are done again.

use std::{path::Path, sync::Arc};

use proptest::prelude::*;
use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{
    Endpoint, EpochId, Error, NodeId, Registration, Role, Stake, Subnet, SubnetId, SubnetParams, Weights,
    keys::{Keypair, Signer as _},
};

use crate::{
    key,
    model::{self, By, KEYS, Model},
};

const SUBNET: SubnetId = SubnetId(7);

#[derive(Debug, Clone)]
enum Operation {
    Fund(usize, u64),
    Transfer(usize, usize, u64),
    Register(By, usize, bool, u64),
    Leave(By, usize),
    Serve(By, usize),
    Rotate(By, usize, usize),
    Weigh(By, usize, u64, Vec<(usize, u64)>),
    Advance(u64),
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let who = || 0..KEYS;
    let by = || prop_oneof![3 => Just(By::Nobody), 1 => who().prop_map(By::Key)];
    let amount = || prop_oneof![8 => 0_u64..60, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 2)];
    let weights = prop::collection::btree_map(who(), 0_u64..9, 1..4)
        .prop_filter("a weight above zero", |weights| {
            weights.values().any(|value| *value > 0)
        })
        .prop_map(|weights| weights.into_iter().collect());
    prop_oneof![
        4 => (who(), amount()).prop_map(|(who, amount)| Operation::Fund(who, amount)),
        1 => (who(), who(), amount()).prop_map(|(from, to, amount)| Operation::Transfer(from, to, amount)),
        8 => (by(), who(), any::<bool>(), amount())
            .prop_map(|(by, node, validator, stake)| Operation::Register(by, node, validator, stake)),
        1 => (by(), who()).prop_map(|(by, node)| Operation::Leave(by, node)),
        1 => (by(), who()).prop_map(|(by, node)| Operation::Serve(by, node)),
        2 => (by(), who(), who()).prop_map(|(by, node, to)| Operation::Rotate(by, node, to)),
        8 => (by(), who(), 0_u64..8, weights)
            .prop_map(|(by, validator, epoch, weights)| Operation::Weigh(by, validator, epoch, weights)),
        4 => (0_u64..6).prop_map(Operation::Advance),
        1 => Just(Operation::Reopen),
    ]
}

/// The chain, the keys and the model.
struct Both {
    chain: LocalChain,
    subnet: LocalSubnet,
    keys: Vec<Arc<Keypair>>,
    model: Model,
    weighed: u64,
}

impl Both {
    async fn new(store: Option<&Path>) -> Self {
        let builder = LocalChain::builder().seed(1);
        let chain = match store {
            Some(directory) => builder.store(directory).build().unwrap(),
            None => builder.build().unwrap(),
        };
        let mut params = SubnetParams::default()
            .with_epochs(model::EPOCH, model::WEIGHING)
            .with_max_members(model::PLACES)
            .with_registration_fee(Stake(model::FEE))
            .with_immunity(model::IMMUNITY)
            .with_emission(Stake(model::EMISSION));
        (params.min_stake, params.min_validator_stake) =
            (Stake(model::MIN_STAKE), Stake(model::MIN_VALIDATOR));
        chain.create_subnet(SUBNET, params).unwrap();
        let keys: Vec<_> = (1..).take(KEYS).map(key).collect();
        let mut model = Model::default();
        model.blocks = store.is_some();
        for (number, key) in keys.iter().enumerate() {
            model.rank[number] = keys
                .iter()
                .filter(|other| other.address() < key.address())
                .count();
        }
        if store.is_some() {
            model.step();
        }
        let subnet = chain.subnet(SUBNET).await.unwrap();
        Self {
            chain,
            subnet,
            keys,
            model,
            weighed: 0,
        }
    }

    fn id(&self, key: usize) -> NodeId {
        self.keys[key].address().clone()
    }

    fn subnet(&self, by: By) -> LocalSubnet {
        match by {
            By::Nobody => self.subnet.clone(),
            By::Key(key) => self.subnet.with_signer(self.keys[key].clone()),
        }
    }

    /// Does it on both sides: what the chain said, and what it should have said.
    async fn check(&mut self, operation: Operation) -> (Result<(), Error>, Result<(), &'static str>) {
        match operation {
            Operation::Fund(who, amount) => (
                self.chain.fund(&self.id(who), Stake(amount)),
                self.model.call(By::Nobody, |model, _| model.fund(who, amount)),
            ),
            Operation::Transfer(from, to, amount) => (
                self.chain
                    .with_signer(self.keys[from].clone())
                    .transfer(&self.id(to), Stake(amount))
                    .await,
                self.model
                    .call(By::Key(from), |model, _| model.transfer(from, to, amount)),
            ),
            Operation::Register(by, node, validator, stake) => {
                let role = if validator { Role::Validator } else { Role::Miner };
                let done = match by {
                    By::Nobody => {
                        let registration = Registration::new(self.id(node).as_str(), role, Stake(stake));
                        self.subnet.register(registration).await
                    }
                    By::Key(_) => {
                        self.subnet(by)
                            .register_node(&*self.keys[node], role, Stake(stake))
                            .await
                    }
                };
                let expected = self.model.call(by, |model, block| {
                    model.register(by, node, validator, stake, block)
                });
                (done.map(drop), expected)
            }
            Operation::Leave(by, node) => (
                self.subnet(by).leave(&self.id(node)).await,
                self.model.call(by, |model, block| model.leave(by, node, block)),
            ),
            Operation::Serve(by, node) => (
                self.subnet(by)
                    .serve(
                        &self.id(node),
                        Endpoint::http("http://127.0.0.1:1").unwrap().into(),
                    )
                    .await,
                self.model.call(by, |model, _| model.serve(by, node)),
            ),
            Operation::Rotate(by, node, to) => (
                self.subnet(by)
                    .rotate_key(&self.id(node), &*self.keys[to])
                    .await
                    .map(drop),
                self.model.call(by, |model, _| model.rotate(by, node, to)),
            ),
            Operation::Weigh(by, validator, off, weights) => {
                // Most of the time the running epoch, else one of those beside it.
                let epoch = (self.model.height / model::EPOCH + off.saturating_sub(5))
                    .saturating_sub(u64::from(off == 5));
                let values = weights
                    .iter()
                    .map(|(node, value)| (self.id(*node), u16::try_from(*value).unwrap()));
                let submitted = Weights::new(values).unwrap();
                self.weighed += 1;
                let id = format!("weights-{}", self.weighed);
                (
                    self.subnet(by)
                        .submit_weights((*id).into(), &self.id(validator), EpochId(epoch), submitted)
                        .await,
                    self.model
                        .call(by, |model, _| model.weigh(by, validator, epoch, &weights)),
                )
            }
            Operation::Advance(blocks) => {
                (0..blocks).for_each(|_| self.model.step());
                (self.chain.advance(blocks), Ok(()))
            }
            Operation::Reopen => unreachable!("done by whoever knows the directory"),
        }
    }

    /// Whether both are in the same state.
    async fn compare(&self) {
        let model = &self.model;
        assert_eq!(self.chain.block().0, model.height);
        for number in 0..KEYS {
            let account = self.chain.account(&self.id(number)).await.unwrap();
            assert_eq!(
                account.balance.0, model.balances[number],
                "the balance of {number}"
            );
            assert_eq!(account.next_nonce, model.nonces[number], "the nonce of {number}");
        }
        let mut expected: Vec<_> = model
            .members
            .iter()
            .map(|member| {
                let role = if member.validator {
                    Role::Validator
                } else {
                    Role::Miner
                };
                (
                    self.id(member.node),
                    self.id(member.owner),
                    role,
                    member.stake,
                    member.since,
                )
            })
            .collect();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let directory = self.subnet.directory().current();
        let found: Vec<_> = directory
            .members()
            .iter()
            .map(|member| {
                let Stake(stake) = member.stake;
                (
                    member.node.clone(),
                    member.owner.clone(),
                    member.role,
                    stake,
                    member.active_since.0,
                )
            })
            .collect();
        assert_eq!(found, expected);
        let supply = self.chain.supply().await.unwrap();
        assert_eq!((supply.issued.0, supply.burned.0), (model.issued, model.burned));
        let staked: u128 = model.members.iter().map(|member| u128::from(member.stake)).sum();
        let held: u128 = model.balances.iter().map(|balance| u128::from(*balance)).sum();
        assert_eq!(held + staked + u128::from(model.burned), u128::from(model.issued));
        if model.height >= model::EPOCH {
            let last = EpochId(model.height / model::EPOCH - 1);
            let paid: Vec<_> = model
                .paid
                .iter()
                .map(|(node, share)| (self.id(*node), Stake(*share)))
                .collect();
            assert_eq!(self.subnet.payouts(last).await.unwrap(), paid);
        }
    }
}

fn run(operations: Vec<Operation>, stored: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let directory = stored.then(|| tempfile::tempdir().unwrap());
        let directory = directory.as_ref().map(tempfile::TempDir::path);
        let mut both = Both::new(directory).await;
        for operation in operations {
            match (operation, directory) {
                (Operation::Reopen, Some(directory)) => {
                    let Both { chain, subnet, .. } = both;
                    drop((chain, subnet));
                    let chain = LocalChain::open(directory).unwrap();
                    let subnet = chain.subnet(SUBNET).await.unwrap();
                    both = Both {
                        chain,
                        subnet,
                        ..both
                    };
                }
                (Operation::Reopen, None) => {}
                (operation, _) => {
                    let told = format!("{operation:?}");
                    let (done, expected) = both.check(operation).await;
                    assert_eq!(done.as_ref().err().map(Error::code), expected.err(), "{told}");
                }
            }
            both.compare().await;
        }
        if stored {
            assert_eq!(both.chain.verify().unwrap(), both.model.height);
        }
    });
}

proptest! {
    // 72 × 160 operations in memory, and 8 × 160 on disk: 12,800 each time.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 72, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_chain_in_memory_does_what_the_model_does(operations in prop::collection::vec(operation(), 160)) {
        run(operations, false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 8, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_stored_chain_does_what_the_model_does(operations in prop::collection::vec(operation(), 160)) {
        run(operations, true);
    }
}
