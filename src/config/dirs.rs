//! The state folder: which one, made safely, checked before anything is sent.
