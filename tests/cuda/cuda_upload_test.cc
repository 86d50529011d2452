// Uploads through pinned memory by several threads: what arrives on the GPU is what was filled in,
// at any size and address, and failures end them.
#include <random>
#include <stdexcept>

#include <gmock/gmock.h>

#include "cuda/cuda_testing.h"
#include "device/uploader.h"

namespace tutti::test {
namespace {

using ::testing::HasSubstr;

constexpr std::byte kGuard{0xA5};

// Tells positions and uploads apart.
std::byte value(int64_t at, uint64_t upload) {
  return static_cast<std::byte>(((static_cast<uint64_t>(at) + 977 * upload) * 0x9E3779B1U) >> 24U);
}

FillFunction filling(uint64_t upload) {
  return [upload](int64_t begin, int64_t end, std::byte* out) {
    for (int64_t at = begin; at < end; ++at) {
      out[at - begin] = value(at, upload);
    }
    return ok_status();
  };
}

class CudaUpload : public ::testing::Test {
 protected:
  void SetUp() override {
    TUTTI_NEEDS_GPU(backend);
    Result<std::unique_ptr<RankSet>> set = backend.make_ranks({.ranks = 1});
    ASSERT_TRUE(set.ok()) << set.status().message();
    set_ = std::move(set).value();
    device_ = set_->ranks().front().device.get();
    stream_ = set_->ranks().front().stream.get();
  }

  std::unique_ptr<Uploader> uploader(const UploadOptions& options) {
    return Uploader::create(*device_, *stream_, options).value();
  }

  std::vector<std::byte> fetch(const Buffer& buffer) {
    std::vector<std::byte> host(usize(buffer.bytes()));
    Status status = device_->copy_to_host(host.data(), buffer.data(), buffer.bytes(), *stream_);
    status = status.ok() ? stream_->synchronize() : status;
    EXPECT_TRUE(status.ok()) << status.message();
    return host;
  }

  std::unique_ptr<RankSet> set_;
  Device* device_ = nullptr;
  Stream* stream_ = nullptr;
};

TEST_F(CudaUpload, OddSizesAtOddAddresses) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  constexpr int64_t kMost = int64_t{1} << 20;
  for (int round = 0; round < 8; ++round) {
    const UploadOptions options{.threads = static_cast<int>(1 + random() % 8),
                                .piece_bytes = static_cast<int64_t>(64 * (1 + random() % 2000))};
    const auto uploads = uploader(options);
    std::vector<Buffer> buffers;
    std::vector<int64_t> begins;
    std::vector<int64_t> sizes;
    const std::vector<std::byte> guards(usize(kMost), kGuard);
    for (uint64_t i = 0; i < 12; ++i) {
      begins.push_back(static_cast<int64_t>(random() % 100));
      sizes.push_back(i < 3 ? static_cast<int64_t>(i)
                            : static_cast<int64_t>(random() % (kMost - 200)));
      buffers.push_back(Buffer::allocate(*device_, kMost, "upload test").value());
      ASSERT_TRUE(device_->copy_from_host(buffers[i].data(), guards.data(), kMost, *stream_).ok());
    }
    for (uint64_t i = 0; i < sizes.size(); ++i) {
      auto* to = static_cast<std::byte*>(buffers[i].data()) + begins[i];
      ASSERT_TRUE(uploads->upload(to, sizes[i], filling(i)).ok());
    }
    const Status status = uploads->finish();
    ASSERT_TRUE(status.ok()) << status.message();
    for (uint64_t i = 0; i < sizes.size(); ++i) {
      const std::vector<std::byte> host = fetch(buffers[i]);
      for (int64_t at = 0; at < kMost; ++at) {
        const int64_t inside = at - begins[i];
        const std::byte want = inside >= 0 && inside < sizes[i] ? value(inside, i) : kGuard;
        ASSERT_EQ(host[usize(at)], want)
            << "upload " << i << " of " << sizes[i] << " bytes, byte " << inside << ", pieces of "
            << options.piece_bytes << ", " << options.threads << " threads";
      }
    }
  }
}

// With the sizes that loading uses, and more pieces than the segments hold.
TEST_F(CudaUpload, PinnedSegmentsAreUsedAgain) {
  constexpr int64_t kBytes = (int64_t{200} << 20) + 12345;
  const Buffer buffer = Buffer::allocate(*device_, kBytes, "upload test").value();
  for (uint64_t round = 0; round < 2; ++round) {
    {
      const auto uploads = uploader({.threads = 8});
      ASSERT_TRUE(uploads->upload(buffer.data(), kBytes, filling(round)).ok());
      const Status status = uploads->finish();
      ASSERT_TRUE(status.ok()) << status.message();
    }  // pinned memory is freed while the GPU may still read it: not before it has
    const std::vector<std::byte> host = fetch(buffer);
    for (int64_t at = 0; at < kBytes; ++at) {
      ASSERT_EQ(host[usize(at)], value(at, round)) << "byte " << at;
    }
  }
}

TEST_F(CudaUpload, FailuresLeaveTheDeviceUsable) {
  constexpr int64_t kBytes = int64_t{8} << 20;
  const Buffer buffer = Buffer::allocate(*device_, kBytes, "upload test").value();
  for (const bool throws : {false, true}) {
    const auto uploads = uploader({.threads = 4, .piece_bytes = 1 << 16});
    ASSERT_TRUE(uploads
                    ->upload(buffer.data(),
                             kBytes,
                             [throws](int64_t begin, int64_t end, std::byte* out) -> Status {
                               if (begin < kBytes / 2) {
                                 return filling(0)(begin, end, out);
                               }
                               if (throws) {
                                 throw std::runtime_error("the disk is gone");
                               }
                               return error(StatusCode::kCorrupt, "the disk is gone");
                             })
                    .ok());
    const Status status = uploads->finish();
    EXPECT_EQ(status.code(), throws ? StatusCode::kInternal : StatusCode::kCorrupt);
    EXPECT_THAT(status.message(), HasSubstr("the disk is gone"));
  }
  const auto uploads = uploader({.threads = 2, .piece_bytes = 1 << 16});
  ASSERT_TRUE(uploads->upload(buffer.data(), kBytes, filling(3)).ok());
  ASSERT_TRUE(uploads->finish().ok());
  const std::vector<std::byte> host = fetch(buffer);
  for (int64_t at = 0; at < kBytes; ++at) {
    ASSERT_EQ(host[usize(at)], value(at, 3)) << "byte " << at;
  }
}

}  // namespace
}  // namespace tutti::test
