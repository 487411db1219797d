//! Behaviour of the journal as its callers see it.

mod conversation;
mod corruption;
mod damage;
mod leasing;
mod oracle;
mod outbox;
mod processes;
mod receiving;
mod versions;
