//! Behaviour of the journal as its callers see it.

mod conversation;
mod corruption;
mod damage;
mod files;
mod history;
mod lease_model;
mod leasing;
mod news;
mod oracle;
mod outbox;
mod processes;
mod receiving;
mod reserving;
mod together;
mod versions;
