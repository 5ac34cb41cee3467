//! Flows: both directions between two endpoints, their bytes in order, all inside a shard.

pub mod scene;

pub use scene::{Ended, FlowView, Scene, Tunnel};
