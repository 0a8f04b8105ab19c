//! What dataman does when something fails: databases, processes, disks, clients, and the files that people write.
//!
//! Every server here is real, and is killed, frozen, filled or lied to. What must hold: a failure is told, with its SQLSTATE,
//! what failed and what to do; an answer is whole or an error; what was acknowledged stays; and everything else goes on.

mod bounds;
mod cancel;
mod cluster_file;
mod compose;
mod crash;
mod decoders;
mod disk;
mod encryption;
mod etcd;
mod hosts;
mod leak;
mod mariadb_replicas;
mod parts;
mod passing;
mod relay;
mod replicas;
mod setup;
mod shard;
mod spill;
mod streaming;
mod wire;
