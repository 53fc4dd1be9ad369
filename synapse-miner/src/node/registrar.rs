//! Keeping a node a member, and paying for that once.

use std::{fmt, future::pending, sync::Arc, time::Duration};

use synapse_core::{
    BlockNumber, Directory, Epoch, Error, Member, NodeId, Phase, Registration, Role, Subnet, SubnetParams,
    Watch,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    MinerEvent, Register,
    board::Board,
    event::Topic,
    register,
    state::{Intent, State},
};
use crate::advertise::Pace;

/// How long a member must be missing before that is believed, and what was sent is taken for lost: blocks come meanwhile,
/// and a directory that was read while the chain thought again is read anew.
const SETTLE: Duration = Duration::from_secs(30);
/// When to look again at what only time changes.
const LATER: Duration = Duration::from_secs(60);
/// How long leaving may take.
const LONGEST_LEAVE: Duration = Duration::from_secs(60);

/// Registers a node where it is told to, and remembers what that cost.
///
/// What is about to be paid is stored before it is sent. Whoever finds such a note, and no member, waits until what was sent
/// has had its time, and sends it again only where nobody can have taken the place since. A registration that the chain
/// takes twice after all costs nothing twice: the second only changes the stake.
pub(super) struct Registrar {
    subnet: Arc<dyn Subnet>,
    node: NodeId,
    register: Register,
    state: State,
    board: Arc<Board>,
    pace: Pace,
    /// Since when it is known to be no member.
    missing: Option<Instant>,
    /// Whether it said that it registers, and nothing came of that yet.
    is_trying: bool,
    /// What was last said, so that it is not said again.
    said: Option<(&'static str, String)>,
}

impl Registrar {
    pub(super) fn new(
        subnet: Arc<dyn Subnet>,
        node: NodeId,
        register: Register,
        state: State,
        board: Arc<Board>,
    ) -> Self {
        let this = Self {
            subnet,
            node,
            register,
            state,
            board,
            pace: Pace::default(),
            missing: None,
            is_trying: false,
            said: None,
        };
        this.note_spending();
        this
    }

    /// Follows the directory. Never ends. Cancel safe: what is under way is remembered.
    pub(super) async fn run(&mut self) {
        let (mut directory, mut params) = (self.subnet.directory(), self.subnet.params());
        loop {
            let again = self.look(&directory.current(), &params.current()).await;
            let again = async {
                match again {
                    Some(again) => sleep(again).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = news(&mut directory) => {}
                () = news(&mut params) => {}
                () = again => {}
            }
        }
    }

    /// Gives the node's place up, where it has one or is about to get it.
    pub(super) async fn leave(&mut self) {
        let left = match self.place().await {
            Ok(false) => return,
            Ok(true) => {
                let left = timeout(LONGEST_LEAVE, self.subnet.leave(&self.node)).await;
                left.unwrap_or_else(|_| Err(register::not_left_in(LONGEST_LEAVE)))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = left {
            self.board.say(&MinerEvent::NotLeft(error));
            return;
        }
        self.board.note(|status| status.saw_member(None));
        self.board.say(&MinerEvent::Left);
        // That is no loss of its place.
        let _ = self.remember(|memory| memory.member_since = None).await;
    }

    /// Whether there is a place to give up; what it cost is stored then. What was sent has its time to come to something: it
    /// would take a place that was just given up.
    async fn place(&mut self) -> Result<bool, Error> {
        // What could not be stored was not sent.
        let _ = self.state.stored().await;
        let memory = self.state.memory();
        let (is_sent, was_member) = (memory.intent.is_some(), memory.member_since.is_some());
        let patience = if is_sent || was_member {
            SETTLE
        } else {
            Duration::ZERO
        };
        let Ok(member) = timeout(patience, listed(self.subnet.directory(), &self.node)).await else {
            return if is_sent {
                Err(register::under_way())
            } else {
                Ok(false)
            };
        };
        if member.role != Role::Miner {
            return Ok(false);
        }
        let since = member.active_since;
        self.state.change(|memory| memory.joined(since)).await?;
        self.note_spending();
        Ok(true)
    }

    /// Whether the directory has the node, and does what there is to do where not. Says when to look again, where that is
    /// not only when something changes.
    async fn look(&mut self, directory: &Directory, params: &SubnetParams) -> Option<Duration> {
        let member = directory.get(&self.node);
        self.board.note(|status| status.saw_member(member));
        match member {
            Some(member) => self.present(member).await,
            None => self.absent(directory.block(), params).await,
        }
    }

    async fn present(&mut self, member: &Member) -> Option<Duration> {
        self.missing = None;
        if member.role != Role::Miner {
            self.say_once(&MinerEvent::NotRegistered(
                Error::invalid(
                    "not_a_miner",
                    format!("{} is a member of the subnet, and no miner", self.node),
                )
                .with_hint("give the miner a key of its own"),
            ));
            return None;
        }
        let since = member.active_since;
        let stored = self.remember(|memory| memory.joined(since)).await;
        self.is_trying = false;
        self.say_once(&MinerEvent::Registered {
            since,
            stake: member.stake,
        });
        (!stored).then_some(LATER)
    }

    async fn absent(&mut self, block: BlockNumber, params: &SubnetParams) -> Option<Duration> {
        let missing = self.missing.get_or_insert_with(Instant::now).elapsed();
        let memory = self.state.memory();
        let expected = memory.member_since.is_some() || memory.intent.is_some();
        if expected && missing < SETTLE {
            return Some(SETTLE - missing);
        }
        if memory.member_since.is_some() {
            if !self.remember(|memory| memory.member_since = None).await {
                return Some(LATER);
            }
            self.say_once(&MinerEvent::Deregistered);
        }
        let Some((stake, most)) = self.register.terms() else {
            if self.said.is_none() {
                self.say_once(&MinerEvent::Unregistered);
            }
            return None;
        };
        if let Some(left) = self.pace.left() {
            return Some(left);
        }
        let epoch = *self.subnet.epochs().current();
        if let Err(why) = self.may_register(&epoch, params).await {
            self.say_once(&MinerEvent::NotRegistered(why));
            return Some(LATER);
        }
        let memory = self.state.memory();
        let cost = match register::check(self.subnet.id(), (stake, most), memory.spent, params) {
            Ok(cost) => cost,
            Err(why) => {
                self.say_once(&MinerEvent::NotRegistered(why));
                return Some(LATER);
            }
        };
        let after = block.max(reached(&epoch, params));
        let before = self.state.memory().intent;
        self.pace.attempt();
        if !self
            .remember(|memory| memory.intent = Some(Intent { stake, cost, after }))
            .await
        {
            return Some(LATER);
        }
        if !std::mem::replace(&mut self.is_trying, true) {
            self.say_once(&MinerEvent::Registering { cost });
        }
        let registration = Registration::new(self.node.as_str(), Role::Miner, stake);
        // Whichever says so first: an answer may be late, or lost.
        let answer = tokio::select! {
            biased;
            answer = self.subnet.register(registration) => answer,
            member = listed(self.subnet.directory(), &self.node) => Ok(member),
        };
        match answer {
            Ok(member) => {
                // The directory may take a moment to say so too.
                let again = self.present(&member).await;
                self.missing = Some(Instant::now());
                again
            }
            Err(refused) => {
                // Of an earlier one that says nothing.
                if !register::may_have_been_taken(&refused) {
                    let _ = self.remember(|memory| memory.intent = before).await;
                }
                self.missing = Some(Instant::now());
                self.say_once(&MinerEvent::NotRegistered(refused));
                self.pace.left()
            }
        }
    }

    /// Whether what is remembered allows a registration: a first one, or one more.
    async fn may_register(&mut self, epoch: &Epoch, params: &SubnetParams) -> Result<(), Error> {
        let may_repeat = matches!(self.register, Register::Again { .. });
        let memory = self.state.memory();
        if let Some(intent) = memory.intent
            && newest(epoch, params).0 >= intent.after.0.saturating_add(params.immunity_blocks)
        {
            // It may have been a member whose place somebody took since.
            if !may_repeat {
                return Err(register::unknown());
            }
            let counted = self.state.change(|memory| {
                memory.intent = None;
                memory.was_member = true;
                memory.paid(intent.cost);
            });
            counted.await?;
            self.note_spending();
        }
        if self.state.memory().was_member && !may_repeat {
            return Err(register::had_its_place());
        }
        Ok(())
    }

    /// Changes what is remembered; says so where that fails.
    async fn remember(&mut self, change: impl FnOnce(&mut super::state::Memory)) -> bool {
        let stored = self.state.change(change).await;
        match &stored {
            Ok(()) => {
                self.note_spending();
                if self.board.has_alert(Topic::Storage) {
                    self.board.say(&MinerEvent::Stored);
                }
            }
            Err(error) if !self.board.has_alert(Topic::Storage) => {
                self.board.say(&MinerEvent::NotStored(error.clone()));
            }
            Err(_) => {}
        }
        stored.is_ok()
    }

    fn note_spending(&self) {
        let memory = self.state.memory();
        let (registrations, spent) = (memory.registrations, memory.spent);
        self.board
            .note(|status| (status.registrations, status.spent) = (registrations, spent));
    }

    fn say_once(&mut self, event: &MinerEvent) {
        let detail = match event {
            MinerEvent::NotRegistered(why) => why.code().to_owned(),
            MinerEvent::Registered { since, stake } => format!("{since} {stake}"),
            _ => String::new(),
        };
        let news = (event.code(), detail);
        if self.said.as_ref() != Some(&news) {
            self.said = Some(news);
            self.board.say(event);
        }
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar")
            .field("register", &self.register)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Waits for a change; for ever where there can be none.
pub(super) async fn news<T>(watch: &mut Watch<T>) {
    if watch.next().await.is_none() {
        pending::<()>().await;
    }
}

/// Waits until the directory has this member.
async fn listed(mut directory: Watch<Directory>, node: &NodeId) -> Member {
    loop {
        if let Some(member) = directory.current().get(node) {
            return member.clone();
        }
        news(&mut directory).await;
    }
}

/// A block that the chain has come to, at least.
fn reached(epoch: &Epoch, params: &SubnetParams) -> BlockNumber {
    match epoch.phase {
        Phase::Weighing => BlockNumber(epoch.ends.0.saturating_sub(params.weighing_blocks)),
        _ => epoch.starts,
    }
}

/// The newest block that there can be in this phase.
fn newest(epoch: &Epoch, params: &SubnetParams) -> BlockNumber {
    let until = match epoch.phase {
        Phase::Serving => epoch.ends.0.saturating_sub(params.weighing_blocks),
        _ => epoch.ends.0,
    };
    BlockNumber(until.saturating_sub(1))
}
