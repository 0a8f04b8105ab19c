//! The frame of a window: which rows of its partition a call sees from each row.

use serde::{Deserialize, Serialize};

use super::Expr;

/// A frame clause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// What its offsets count.
    pub unit: FrameUnit,
    /// Where it starts.
    pub start: FrameBound,
    /// Where it ends.
    pub end: FrameBound,
    /// What is left out of it around the current row.
    #[serde(skip_serializing_if = "FrameExclusion::is_nothing", default)]
    pub exclude: FrameExclusion,
}

/// What the offsets of a frame count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameUnit {
    /// Rows.
    Rows,
    /// Differences of the one key of the order.
    Range,
    /// Groups of rows that are alike in the order.
    Groups,
}

/// One end of a frame. An offset is a `bigint`, or for RANGE what `in_range` takes; it reads no columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameBound {
    /// The partition's first row.
    UnboundedPreceding,
    /// So far before the current row.
    Preceding(Expr),
    /// The current row; with RANGE and GROUPS, those alike in the order.
    CurrentRow,
    /// So far behind the current row.
    Following(Expr),
    /// The partition's last row.
    UnboundedFollowing,
}

/// What a frame leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameExclusion {
    /// `EXCLUDE NO OTHERS`.
    #[default]
    Nothing,
    /// `EXCLUDE CURRENT ROW`.
    CurrentRow,
    /// `EXCLUDE GROUP`: the current row and those alike in the order.
    Group,
    /// `EXCLUDE TIES`: those alike in the order, but not the current row.
    Ties,
}

impl FrameUnit {
    /// SQL's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rows => "ROWS",
            Self::Range => "RANGE",
            Self::Groups => "GROUPS",
        }
    }
}

impl FrameExclusion {
    /// Whether everything stays.
    pub fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }

    /// SQL's words behind EXCLUDE, if anything is left out.
    pub fn words(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::CurrentRow => Some("CURRENT ROW"),
            Self::Group => Some("GROUP"),
            Self::Ties => Some("TIES"),
        }
    }
}

impl FrameBound {
    /// The offset, if it has one.
    pub fn offset(&self) -> Option<&Expr> {
        match self {
            Self::Preceding(offset) | Self::Following(offset) => Some(offset),
            Self::UnboundedPreceding | Self::CurrentRow | Self::UnboundedFollowing => None,
        }
    }

    fn offset_mut(&mut self) -> Option<&mut Expr> {
        match self {
            Self::Preceding(offset) | Self::Following(offset) => Some(offset),
            Self::UnboundedPreceding | Self::CurrentRow | Self::UnboundedFollowing => None,
        }
    }

    /// SQL's words, behind the offset if there is one.
    pub fn words(&self) -> &'static str {
        match self {
            Self::UnboundedPreceding => "UNBOUNDED PRECEDING",
            Self::Preceding(_) => "PRECEDING",
            Self::CurrentRow => "CURRENT ROW",
            Self::Following(_) => "FOLLOWING",
            Self::UnboundedFollowing => "UNBOUNDED FOLLOWING",
        }
    }
}

impl Frame {
    /// The frame of a window that says none: `RANGE UNBOUNDED PRECEDING`.
    pub fn unsaid() -> Self {
        Self {
            unit: FrameUnit::Range,
            start: FrameBound::UnboundedPreceding,
            end: FrameBound::CurrentRow,
            exclude: FrameExclusion::Nothing,
        }
    }

    /// Its offsets.
    pub fn offsets(&self) -> impl Iterator<Item = &Expr> {
        self.start.offset().into_iter().chain(self.end.offset())
    }

    /// Its offsets, to be replaced.
    pub fn offsets_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        self.start.offset_mut().into_iter().chain(self.end.offset_mut())
    }
}
