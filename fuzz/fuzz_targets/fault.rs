//! Faults: what is printed is read back, and any plan can be carried out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_net::fault::{Fault, Plan};

fuzz_target!(|text: &str| {
    match text.parse::<Fault>() {
        Ok(fault) => {
            assert_eq!(fault.to_string().parse().as_ref(), Ok(&fault));
            let plan = Plan::new(vec![fault], 1);
            for number in [1, 2, u64::MAX] {
                let _ = plan.connection(number).opening();
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
