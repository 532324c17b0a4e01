SELECT bench_turn(:month);
