#![cfg_attr(fuzzing, no_main)]

quorate_fuzz::target!(two_phase);
