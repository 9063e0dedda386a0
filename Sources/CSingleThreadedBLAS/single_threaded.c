// OpenBLAS starts a thread for every processor as soon as it is loaded, and where the system refuses one it sends the
// process SIGINT, before main. The engine has threads of its own and wants none of these.
//
// The environment cannot be changed that early. But OpenBLAS asks this function of its own what OPENBLAS_NUM_THREADS
// says, by its name: the program's answer goes before the library's. An OpenBLAS that asks in another way is held to
// one thread when the engine starts.
int openblas_num_threads_env(void) { return 1; }
