#pragma once
// jpeglib.h needs FILE and size_t to be there already.
#include <stddef.h>
#include <stdio.h>
#include <jpeglib.h>
