// Marks a function for both sides, in headers that host code includes too.
#pragma once

#if defined(__CUDACC__)
#define REPRISE_HOST_DEVICE __host__ __device__
#else
#define REPRISE_HOST_DEVICE
#endif
