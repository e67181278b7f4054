//! The rare paths of two-phase commit.

crate::paths! {
    /// Rare paths that many seeds together must reach.
    pub enum Path {
        /// All did it.
        Committed = "commit: committed",
        /// A participant could not.
        Refused = "commit: refused",
        /// Not all had voted in time.
        TimedOut = "commit: timed out",
        /// It was in the way of an older one.
        Wounded = "commit: wounded",
        /// It was given up by who had asked for it.
        Cancelled = "commit: cancelled",
        /// The only one has not said whether it did it.
        Unknown = "commit: outcome unknown",
        /// One that was wounded got its turn.
        Aged = "commit: wounded, tried again, committed",
        /// A coordinator had no room.
        Busy = "commit: coordinator full",
        /// A participant had no room.
        Full = "commit: participant full",
        /// It waited for a lock.
        Waited = "commit: waited for a lock",
        /// The only one waited too long for a lock.
        GaveUp = "commit: the only one gave up waiting",
        /// All accounts were looked at, in one transaction.
        Audited = "commit: all accounts audited",
        /// Who only read voted.
        ReadOnly = "commit: read-only vote",
        /// The only one did it at once.
        AtOnce = "commit: done at once by the only one",
        /// The only one was told to wait for the decision.
        NotAtOnce = "commit: the only one waited for the decision",
        /// The only one was asked again, and said again that it is done.
        KeptAgain = "commit: kept answer given again",
        /// A coordinator that knew nothing any more answered.
        PresumedAbort = "commit: presumed abort answered",
        /// A peer told how it ended.
        PeerTold = "commit: peer told the decision",
        /// A peer that had not voted refused for one in doubt.
        PeerRefused = "commit: peer refused for one in doubt",
        /// It was asked for what it had done and forgotten.
        LatePrepare = "commit: asked again for what was done",
        /// It promised again what it had promised before.
        NotFirst = "commit: promised again",
        /// A decision of an earlier life was told again.
        ToldAgain = "commit: decision told again after a restart",
        /// Locks of an earlier life were taken again.
        Retaken = "commit: locks taken again after a restart",
        /// A coordinator's log began anew.
        CoordinatorRestart = "commit: coordinator's log begun anew",
        /// A participant's log began anew.
        ParticipantRestart = "commit: participant's log begun anew",
        /// Enough numbers were reserved again.
        Numbered = "commit: numbers reserved",
        /// An operator settled it.
        Forced = "commit: forced by an operator",
        /// An operator settled it otherwise than the others.
        Contradicted = "commit: contradiction told by the participant",
        /// The coordinator heard of it.
        CoordinatorContradicted = "commit: contradiction told by the coordinator",
        /// A participant had no room to remember what its application had done.
        NoRoomToRemember = "commit: no room to remember what was done",
        /// An application forgot what it had done.
        Forgotten = "commit: application forgot what it did",
    }
}
