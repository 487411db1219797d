#![no_main]

use std::cell::RefCell;

use molecule_mcp::fuzzing::Tools;

thread_local! {
    static TOOLS: RefCell<Tools> = RefCell::default();
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TOOLS.with_borrow_mut(|tools| tools.call(bytes)));
