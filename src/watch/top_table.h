// What `tutti top` draws: a table of GPUs, as wide as the terminal.
#pragma once
#include <string>

#include "watch/gpu_status.h"

namespace tutti {

struct TopStyle {
  int columns = 80;
  int rows = 0;         ///< of the terminal; 0: as many as it takes
  bool colour = false;  ///< escapes for bold, green, yellow and red
};

/// Lines that end with '\n', none wider than `columns`. ASCII but for what names hold.
std::string top_table(const GpuStatus& status, const TopStyle& style);

}  // namespace tutti
