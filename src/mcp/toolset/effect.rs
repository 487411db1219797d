//! What a tool does to the world.

use rmcp::model::ToolAnnotations;

/// What a tool does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    writes: bool,
    destroys: bool,
    idempotent: bool,
    open_world: bool,
}

impl Effect {
    /// Changes nothing.
    pub const READ: Self = Self {
        writes: false,
        destroys: false,
        idempotent: true,
        open_world: true,
    };
    /// Adds or changes something.
    pub const WRITE: Self = Self {
        writes: true,
        idempotent: false,
        ..Self::READ
    };
    /// Takes something away for good.
    pub const DESTROY: Self = Self {
        destroys: true,
        ..Self::WRITE
    };

    /// Calling it again with the same arguments changes nothing more.
    #[must_use]
    pub const fn idempotent(self) -> Self {
        Self {
            idempotent: true,
            ..self
        }
    }

    /// It touches only what is on this computer.
    #[must_use]
    pub const fn local(self) -> Self {
        Self {
            open_world: false,
            ..self
        }
    }

    /// Whether it changes anything.
    #[must_use]
    pub const fn writes(self) -> bool {
        self.writes
    }

    /// Whether it takes something away for good.
    #[must_use]
    pub const fn destroys(self) -> bool {
        self.destroys
    }

    pub(super) fn annotations(self) -> ToolAnnotations {
        ToolAnnotations::new()
            .read_only(!self.writes)
            .destructive(self.destroys)
            .idempotent(self.idempotent)
            .open_world(self.open_world)
    }
}
