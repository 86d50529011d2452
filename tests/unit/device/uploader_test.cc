// Uploads in pieces by several threads: every byte arrives once, and failures end them.
#include "device/uploader.h"

#include <atomic>
#include <chrono>
#include <latch>
#include <new>
#include <random>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/checked.h"
#include "device/cpu_device.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;

class UploaderTest : public ::testing::Test {
 protected:
  std::unique_ptr<Uploader> uploader(const UploadOptions& options) {
    return Uploader::create(device_, *stream_, options).value();
  }

  CpuDevice device_;
  std::unique_ptr<Stream> stream_ = device_.new_stream();
};

TEST_F(UploaderTest, EveryByteOfEveryUploadArrivesOnce) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; ++round) {
    const auto piece = static_cast<int64_t>(64 * (1 + random() % 40));
    const auto threads = static_cast<int>(1 + random() % 6);
    const auto uploads = uploader({.threads = threads, .piece_bytes = piece});
    // Counts how often each byte was written; atomic, for it is the test that two may collide.
    std::vector<std::vector<std::atomic<uint8_t>>> written;
    std::vector<std::vector<std::byte>> sinks;
    for (int i = 0; i < 20; ++i) {
      const size_t bytes = random() % 5 == 0 ? random() % 3 : random() % 20000;
      written.emplace_back(bytes);
      sinks.emplace_back(bytes);
    }
    for (size_t i = 0; i < sinks.size(); ++i) {
      const auto bytes = ssize(sinks[i].size());
      const Status status = uploads->upload(
          sinks[i].data(), bytes, [&, i, bytes](int64_t begin, int64_t end, std::byte* out) {
            EXPECT_EQ(begin % piece, 0);
            EXPECT_TRUE(end - begin == piece || end == bytes) << begin << " to " << end;
            for (int64_t at = begin; at < end; ++at) {
              ++written[i][usize(at)];
              out[at - begin] = static_cast<std::byte>(at * 31 + static_cast<int64_t>(i));
            }
            return ok_status();
          });
      ASSERT_TRUE(status.ok());
      if (random() % 7 == 0) {
        ASSERT_TRUE(uploads->finish().ok());
      }
    }
    ASSERT_TRUE(uploads->finish().ok());
    for (size_t i = 0; i < sinks.size(); ++i) {
      for (size_t at = 0; at < sinks[i].size(); ++at) {
        ASSERT_EQ(written[i][at], 1) << "upload " << i << ", byte " << at << ", piece " << piece;
        ASSERT_EQ(sinks[i][at], static_cast<std::byte>(at * 31 + i));
      }
    }
  }
}

TEST_F(UploaderTest, PiecesAreFilledAtTheSameTime) {
  const auto uploads = uploader({.threads = 4, .piece_bytes = 64});
  std::vector<std::byte> sink(4 * 64);
  std::latch all(4);  // a thread that waits for the others can only go on if they run too
  ASSERT_TRUE(uploads
                  ->upload(sink.data(),
                           ssize(sink.size()),
                           [&](int64_t, int64_t, std::byte*) {
                             all.arrive_and_wait();
                             return ok_status();
                           })
                  .ok());
  EXPECT_TRUE(uploads->finish().ok());
}

TEST_F(UploaderTest, UploadsReturnBeforeTheyAreDone) {
  const auto uploads = uploader({.threads = 1, .piece_bytes = 64});
  std::byte sink[2]{};
  std::latch go(1);
  std::atomic<int> order{0};
  int first = 0;
  int second = 0;
  const auto wait = [&](int64_t, int64_t, std::byte*) {
    go.wait();
    first = ++order;
    return ok_status();
  };
  ASSERT_TRUE(uploads->upload(&sink[0], 1, wait).ok());
  ASSERT_TRUE(uploads
                  ->upload(&sink[1],
                           1,
                           [&](int64_t, int64_t, std::byte*) {
                             second = ++order;
                             return ok_status();
                           })
                  .ok());
  go.count_down();
  EXPECT_TRUE(uploads->finish().ok());
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 2);
}

TEST_F(UploaderTest, FirstFailureEndsAllUploads) {
  for (const int threads : {1, 3}) {
    const auto uploads = uploader({.threads = threads, .piece_bytes = 64});
    std::vector<std::byte> sink(1000 * 64);
    std::atomic<int> after{0};
    std::atomic<bool> failed{false};
    const auto fill = [&](int64_t begin, int64_t, std::byte*) {
      if (begin == 100 * 64) {
        failed = true;
        return error(StatusCode::kCorrupt, "piece 100");
      }
      if (failed) {  // slowly: the failure is to be known before the others are through
        ++after;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      return ok_status();
    };
    ASSERT_TRUE(uploads->upload(sink.data(), ssize(sink.size()), fill).ok());
    for (int i = 0; i < 3; ++i) {
      const Status status = uploads->finish();
      EXPECT_EQ(status.code(), StatusCode::kCorrupt);
      EXPECT_EQ(status.message(), "piece 100");
    }
    const int before = after;
    EXPECT_EQ(uploads->upload(sink.data(), 64, fill).message(), "piece 100");
    EXPECT_EQ(uploads->finish().message(), "piece 100");
    EXPECT_EQ(after, before) << "nothing is begun after a failure";
    EXPECT_LT(after, 899) << "what was queued behind the failure is dropped";
  }
}

TEST_F(UploaderTest, ExceptionsBecomeFailures) {
  struct Case {
    FillFunction fill;
    StatusCode code;
    const char* message;
  };

  const std::vector<Case> cases{
      {[](int64_t, int64_t, std::byte*) -> Status { throw std::runtime_error("no such luck"); },
       StatusCode::kInternal,
       "no such luck"},
      {[](int64_t, int64_t, std::byte*) -> Status { throw std::bad_alloc(); },
       StatusCode::kOutOfMemory,
       "host memory"},
      {[](int64_t, int64_t, std::byte*) -> Status { throw 7; },
       StatusCode::kInternal,
       "unknown exception"}};
  for (const Case& c : cases) {
    const auto uploads = uploader({.threads = 2, .piece_bytes = 64});
    std::vector<std::byte> sink(640);
    ASSERT_TRUE(uploads->upload(sink.data(), ssize(sink.size()), c.fill).ok());
    const Status status = uploads->finish();
    EXPECT_EQ(status.code(), c.code);
    EXPECT_THAT(status.message(), HasSubstr(c.message));
  }
}

TEST_F(UploaderTest, TheEndDropsWhatNobodyHasBegun) {
  constexpr int kPieces = 10000;
  std::vector<std::byte> sink(kPieces * 64);
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  const auto owned = std::make_shared<int>(0);
  {
    const auto uploads = uploader({.threads = 2, .piece_bytes = 64});
    ASSERT_TRUE(uploads
                    ->upload(sink.data(),
                             ssize(sink.size()),
                             [&, owned](int64_t, int64_t, std::byte*) {
                               ++begun;
                               std::this_thread::sleep_for(std::chrono::milliseconds(1));
                               ++ended;
                               return ok_status();
                             })
                    .ok());
    while (begun == 0) {
      std::this_thread::yield();
    }
  }
  EXPECT_EQ(begun, ended) << "nobody is left in the middle of a piece";
  EXPECT_LT(begun, kPieces);
  EXPECT_EQ(owned.use_count(), 1) << "the closures are gone";
}

TEST_F(UploaderTest, ThreadsAreTheRanksShareOfTheCpus) {
  const int cpus = available_cpus();
  EXPECT_EQ(upload_threads(1), std::min(cpus, 8));
  EXPECT_EQ(upload_threads(cpus), 1);
  EXPECT_EQ(upload_threads(2 * cpus), 1) << "every rank has a thread";
}

}  // namespace
}  // namespace tutti
