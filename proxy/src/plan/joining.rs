//! The joins above the shards.

use dataman_node_protocol::query::JoinKind;

/// Which rows of two sides a join gives. The right side is held, the left one streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Pairs.
    Inner,
    /// Pairs, and left rows without a partner.
    Left,
    /// Pairs, and right rows without a partner.
    Right,
    /// Pairs, and the rows of either side without a partner.
    Full,
    /// Left rows that have a partner, each once: EXISTS, IN.
    Semi,
    /// Left rows that have none: NOT EXISTS.
    Anti,
    /// Right rows that have a partner, each once.
    RightSemi,
    /// Right rows that have none.
    RightAnti,
    /// Left rows that differ from every right one: NOT IN. A NULL on either side may be anything.
    NotIn,
}

impl From<JoinKind> for Joining {
    fn from(kind: JoinKind) -> Self {
        match kind {
            JoinKind::Inner => Self::Inner,
            JoinKind::Left => Self::Left,
            JoinKind::Right => Self::Right,
            JoinKind::Full => Self::Full,
        }
    }
}

impl Joining {
    /// Whether left rows without a partner come out.
    pub(crate) fn keeps_left(self) -> bool {
        matches!(self, Self::Left | Self::Full | Self::Anti | Self::NotIn)
    }

    /// Whether right rows without a partner come out.
    pub(crate) fn keeps_right(self) -> bool {
        matches!(self, Self::Right | Self::Full | Self::RightAnti)
    }

    /// Whether nothing is asked of a right row when all left ones have met it.
    pub(crate) fn is_of_left(self) -> bool {
        !self.keeps_right() && self != Self::RightSemi
    }

    /// Whether the left side's columns come out.
    pub(crate) fn gives_left(self) -> bool {
        !matches!(self, Self::RightSemi | Self::RightAnti)
    }

    /// Whether the right side's columns come out.
    pub(crate) fn gives_right(self) -> bool {
        matches!(
            self,
            Self::Inner | Self::Left | Self::Right | Self::Full | Self::RightSemi | Self::RightAnti
        )
    }

    /// Whether the pairs come out.
    pub(crate) fn gives_pairs(self) -> bool {
        matches!(self, Self::Inner | Self::Left | Self::Right | Self::Full)
    }

    /// Whether a left row is done with when it has met one partner.
    pub(crate) fn needs_one(self) -> bool {
        matches!(self, Self::Semi | Self::Anti | Self::NotIn)
    }
}
