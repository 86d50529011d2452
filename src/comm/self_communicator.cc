#include "comm/self_communicator.h"

#include <algorithm>

namespace tutti {

void SelfCommunicator::all_gather_columns(TensorView out,
                                          ConstTensorView in,
                                          std::span<const int64_t> widths) {
  TUTTI_CHECK_EQ(widths.size(), size_t{1});
  for (int64_t r = 0; r < in.dim(0); ++r) {
    std::copy_n(in.at(r).data<float>(), in.dim(1), out.at(r).data<float>());
  }
}

}  // namespace tutti
