//! Everything that is known of a place, as plain data: what is said of it follows from this alone,
//! so that tests can make up any machine.

use serde::Serialize;

use super::measured::Measured;
use crate::host::{DirectIo, IoUringState, LayerDevice, Place, Transport};
use crate::store::schema::Environment;
use crate::workload::Choices;

/// A place for a log.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    /// What every run records of its machine.
    pub environment: Environment,
    /// What lies under the directory.
    pub place: Place,
    /// Whether io_uring can be had.
    pub io_uring: IoUringState,
    /// Whether the limit of locked memory does not bind this process (`CAP_IPC_LOCK`).
    pub memory_lock_unlimited: bool,
    /// Direct I/O on a file there; `None` where none could be made.
    pub direct_io: Option<DirectIo>,
    /// What a log says of the place.
    pub log: LogAnswer,
    /// What was measured; `None` where nothing was.
    pub measured: Option<Measured>,
}

/// What came of opening a log there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "answer", deny_unknown_fields)]
pub(crate) enum LogAnswer {
    /// It opens, and chose this.
    Opens {
        /// What it chose.
        choices: Choices,
    },
    /// It does not.
    Refuses {
        /// Why.
        refusal: Refusal,
    },
}

/// Why no log can be had in a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub(crate) enum Refusal {
    /// The file system has no direct I/O.
    NoDirectIo {
        /// Its type.
        filesystem: String,
    },
    /// It is read-only.
    ReadOnly,
    /// This process may not write there.
    NotWritable,
    /// It is full.
    NoSpace,
    /// Something else.
    Other {
        /// In the words of the system or of the log.
        reason: String,
    },
}

impl Facts {
    /// How the disks at the bottom are attached.
    pub(super) fn disks(&self) -> Vec<Transport> {
        let transport = |device: &LayerDevice| match device {
            LayerDevice::Disk { transport } => Some(*transport),
            _ => None,
        };
        self.place.layers.iter().filter_map(|layer| transport(&layer.device)).collect()
    }

    /// Whether the file system is mounted with this option.
    pub(super) fn is_mounted_with(&self, option: &str) -> bool {
        let options = self.environment.mount_options.as_deref().unwrap_or("");
        options.split(',').any(|found| found == option)
    }
}
