//! Random operations: nothing is created or lost, and what is refused changes nothing.

use proptest::prelude::*;
use synapse_core::{NodeId, Registration, Role, Stake, Subnet};

use crate::small;

#[derive(Debug, Clone)]
enum Operation {
    Fund(usize, u64),
    Register(usize, bool, u64),
    Leave(usize),
    Advance(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let amount = prop_oneof![0_u64..200, Just(u64::MAX), Just(u64::MAX / 2)];
    let one = prop_oneof![
        (0_usize..5, amount.clone()).prop_map(|(who, amount)| Operation::Fund(who, amount)),
        (0_usize..5, any::<bool>(), amount)
            .prop_map(|(who, miner, stake)| Operation::Register(who, miner, stake)),
        (0_usize..5).prop_map(Operation::Leave),
        (0_u64..30).prop_map(Operation::Advance),
    ];
    prop::collection::vec(one, 0..60)
}

proptest! {
    #[test]
    fn money_is_neither_made_nor_lost(operations in operations()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (chain, subnet) = small().await;
            let nodes: Vec<NodeId> = ["v", "m1", "m2", "m3", "m4"].map(NodeId::from).into();
            let mut issued = 400_u128;
            for operation in operations {
                let before = subnet.directory().current();
                let refused = match operation {
                    Operation::Fund(who, amount) => {
                        let funded = chain.fund(&nodes[who], Stake(amount));
                        issued += if funded.is_ok() { u128::from(amount) } else { 0 };
                        funded.is_err()
                    }
                    Operation::Register(who, miner, stake) => {
                        let role = if miner { Role::Miner } else { Role::Validator };
                        subnet.register(Registration::new(nodes[who].as_str(), role, Stake(stake))).await.is_err()
                    }
                    Operation::Leave(who) => subnet.leave(&nodes[who]).await.is_err(),
                    Operation::Advance(blocks) => {
                        chain.advance(blocks);
                        false
                    }
                };
                let after = subnet.directory().current();
                if refused {
                    assert_eq!(before, after);
                }
                assert!(after.members().is_sorted_by_key(|member| &member.node));
                assert!(after.members().len() <= 3);
                let held: u128 = nodes.iter().map(|node| u128::from(chain.balance(node).0)).sum();
                let staked: u128 = after.members().iter().map(|member| u128::from(member.stake.0)).sum();
                assert_eq!(held + staked, issued);
            }
        });
    }
}
