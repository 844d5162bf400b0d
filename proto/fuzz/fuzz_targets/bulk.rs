#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dauphin_proto_fuzz::bulk(data));
