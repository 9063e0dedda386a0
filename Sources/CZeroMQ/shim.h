#pragma once
#include <zmq.h>

// Draft in the header, built into every release since 4.2.1: with it a socket whose ZAP handler is missing lets nobody in.
enum { PS_ZMQ_ZAP_ENFORCE_DOMAIN = 93 };

// `malloc_trim`: what ZeroMQ has freed goes back to the system.
#include <malloc.h>
