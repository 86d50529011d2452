// Lines, reports, causes of death, a look at requests, directories of sockets.
#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "serve/engine_metrics.h"
#include "supervise/engine_report.h"
#include "supervise/exit_cause.h"
#include "supervise/line_buffer.h"
#include "supervise/request_peek.h"
#include "supervise/runtime_directory.h"

namespace tutti {
namespace {

namespace fs = std::filesystem;

TEST(LineBuffer, CutsAnywhereGiveTheSameLines) {
  const std::string text = "one\n\ntwo\nthree";
  const unsigned seed = std::random_device{}();
  std::mt19937 generator(seed);
  for (int round = 0; round < 100; ++round) {
    LineBuffer buffer;
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size();) {
      const size_t size = 1 + generator() % 5;
      for (std::string& line : buffer.feed(std::string_view(text).substr(at, size))) {
        lines.push_back(std::move(line));
      }
      at += size;
    }
    ASSERT_EQ(lines, (std::vector<std::string>{"one", "", "two"})) << "seed " << seed;
    ASSERT_EQ(buffer.rest(), "three");
    ASSERT_EQ(buffer.rest(), "");
  }
}

TEST(LineBuffer, LongLinesAreCut) {
  LineBuffer buffer(4);
  EXPECT_EQ(buffer.feed("abcdefghij\nk\n"), (std::vector<std::string>{"abcd", "efgh", "ij", "k"}));
}

TEST(LogTail, KeepsTheLast) {
  LogTail tail;
  for (size_t i = 0; i < 2 * LogTail::kLines; ++i) {
    tail.add(std::to_string(i));
  }
  ASSERT_EQ(tail.lines().size(), LogTail::kLines);
  EXPECT_EQ(tail.lines().front(), std::to_string(LogTail::kLines));
  EXPECT_EQ(tail.lines().back(), std::to_string(2 * LogTail::kLines - 1));
}

TEST(EngineReport, ReadsBackWhatWasWritten) {
  using Kind = EngineReport::Kind;
  for (const Kind kind : {Kind::kPlanning,
                          Kind::kLoading,
                          Kind::kWarming,
                          Kind::kReady,
                          Kind::kAlive,
                          Kind::kRefused,
                          Kind::kFailed}) {
    EngineReport report{.kind = kind};
    if (kind == Kind::kLoading) {
      report.done_bytes = 5;
      report.total_bytes = int64_t{1} << 40;
    } else if (kind == Kind::kReady) {
      report.max_context = 4096;
      report.created_unix = 1'700'000'000;
      report.description = "a \"model\"\nof two lines";
    } else if (kind == Kind::kRefused || kind == Kind::kFailed) {
      report.error = Status(StatusCode::kDevice, "cuda:0: \x01 gone");
    }
    const std::string line = to_line(report);
    ASSERT_EQ(line.find('\n'), line.size() - 1);
    const auto read = parse_report(std::string_view(line).substr(0, line.size() - 1));
    ASSERT_TRUE(read) << line;
    EXPECT_EQ(read->kind, kind);
    EXPECT_EQ(read->done_bytes, report.done_bytes);
    EXPECT_EQ(read->total_bytes, report.total_bytes);
    EXPECT_EQ(read->max_context, report.max_context);
    EXPECT_EQ(read->created_unix, report.created_unix);
    EXPECT_EQ(read->description, report.description);
    EXPECT_EQ(read->error.code(), report.error.code());
    EXPECT_EQ(read->error.message(), report.error.message());
  }
}

TEST(EngineReport, PassesOverWhatItDoesNotKnow) {
  for (const char* line : {"",
                           "x",
                           "[]",
                           "{}",
                           R"({"report":"dancing"})",
                           R"({"report":1})",
                           R"({"report":"loading","done_bytes":"5"})"}) {
    EXPECT_FALSE(parse_report(line)) << line;
  }
  EXPECT_TRUE(parse_report(R"({"report":"alive","new":[1]})"));
}

TEST(ExitCause, SaysHow) {
  // As wait(2) encodes them on Linux.
  const int exit_74 = 74 << 8;
  EXPECT_EQ(exit_cause(exit_74, 0, 0, false).text(), "exit code 74");
  EXPECT_EQ(exit_cause(SIGSEGV, 0, 0, false).text(), "signal 11 (SIGSEGV)");
  EXPECT_EQ(exit_cause(SIGKILL, 3, 3, false).text(), "signal 9 (SIGKILL)");
  EXPECT_EQ(exit_cause(SIGKILL, 3, 4, false).text(),
            "signal 9 (SIGKILL) by the kernel: memory ran out");
  EXPECT_FALSE(exit_cause(SIGKILL, 3, 4, true).out_of_memory);
  EXPECT_FALSE(exit_cause(SIGKILL, std::nullopt, 4, false).out_of_memory);
  EXPECT_FALSE(exit_cause(exit_74, 3, 4, false).out_of_memory);
}

TEST(ExitCause, CountsKillsOfTheKernel) {
  const fs::path root = fs::path(::testing::TempDir()) / "oom_root";
  fs::create_directories(root / "proc");
  std::ofstream(root / "proc/vmstat") << "nr_free_pages 5\noom_kill 12\noom_kill_x 4\n";
  EXPECT_EQ(kernel_oom_kills(root), 12);
  std::ofstream(root / "proc/vmstat") << "nr_free_pages 5\n";
  EXPECT_EQ(kernel_oom_kills(root), std::nullopt);
  fs::remove_all(root);
  EXPECT_EQ(kernel_oom_kills(root), std::nullopt);
}

TEST(RequestPeek, FindsTheModelWhereverItStands) {
  for (const char* body : {
           R"({"model":"a/b","messages":[]})",
           R"({"messages":[{"model":"x","content":"\"model\":\"y\""}], "n": 1 , "model" : "a/b"})",
           R"({"tools":{"model":"z"},"stop":["}","]"],"model":"a/b","seed":1e5})",
           "\n{ \"a\\\\\" : \"\\\\\" ,\t\"model\":\"\\u0061/b\"}",
       }) {
    EXPECT_EQ(peek_request(body).model, std::optional<std::string>("a/b")) << body;
  }
  for (const char* body : {"",
                           "x",
                           "[]",
                           "{",
                           R"({"model":5})",
                           R"({"x":{"model":"a"}})",
                           R"({"model")",
                           R"({"model":"a)",
                           R"(["model","a"])"}) {
    EXPECT_EQ(peek_request(body).model, std::nullopt) << body;
  }
}

TEST(RequestPeek, CountsTokensAndKnowsPrefixes) {
  EXPECT_EQ(peek_request(R"({"max_tokens":12})").max_tokens, 12);
  EXPECT_EQ(peek_request(R"({"max_completion_tokens": 7 })").max_tokens, 7);
  EXPECT_EQ(peek_request(R"({"max_tokens":-1})").max_tokens, std::nullopt);
  EXPECT_EQ(peek_request(R"({"max_tokens":1.5})").max_tokens, std::nullopt);
  const std::string shared(2000, 's');
  const auto prefix = [](const std::string& prompt) {
    return peek_request(R"({"seed":1,"prompt":")" + prompt + "\"}").prefix;
  };
  EXPECT_EQ(prefix(shared + "a"), prefix(shared + "b"));
  EXPECT_NE(prefix("a"), prefix("b"));
  EXPECT_EQ(peek_request(R"({"model":"a"})").prefix, 0U);
}

TEST(RequestPeek, AnyBytesAreSafe) {
  const unsigned seed = std::random_device{}();
  std::mt19937 generator(seed);
  const std::string alphabet = "{}[]\",:\\ model\n1";
  for (int round = 0; round < 20000; ++round) {
    std::string body = round % 2 == 0 ? "{\"model\":" : "";
    for (size_t i = generator() % 40; i > 0; --i) {
      body += alphabet[generator() % alphabet.size()];
    }
    (void)peek_request(body);  // whatever it says: no crash, no endless loop
  }
}

TEST(RuntimeDirectory, IsPrivateAndGoesAway) {
  const std::string parent = ::testing::TempDir() + "runtime_parent";
  fs::create_directories(parent);
  std::string path;
  {
    const auto directory = RuntimeDirectory::make(parent);
    ASSERT_TRUE(directory.ok()) << directory.status().message();
    path = (*directory)->path();

    struct stat about {};

    ASSERT_EQ(stat(path.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777U, 0700U);
    std::ofstream(path + "/1-1.sock") << "x";
    // Another process beside it leaves it alone.
    const auto second = RuntimeDirectory::make(parent);
    ASSERT_TRUE(second.ok());
    EXPECT_TRUE(fs::exists(path + "/1-1.sock"));
  }
  EXPECT_TRUE(fs::is_empty(parent));
  fs::remove_all(parent);
}

TEST(RuntimeDirectory, SweepsWhatAKilledProcessLeft) {
  const std::string parent = ::testing::TempDir() + "runtime_swept";
  fs::create_directories(parent + "/tutti-AbCdEf");
  std::ofstream(parent + "/tutti-AbCdEf/lock") << "";
  std::ofstream(parent + "/tutti-AbCdEf/3-1.sock") << "";
  fs::create_directories(parent + "/tutti-nolock");  // perhaps just being made
  fs::create_directories(parent + "/other");
  std::ofstream(parent + "/other/lock") << "";
  {
    const auto directory = RuntimeDirectory::make(parent);
    ASSERT_TRUE(directory.ok());
    EXPECT_FALSE(fs::exists(parent + "/tutti-AbCdEf"));
    EXPECT_TRUE(fs::exists(parent + "/tutti-nolock"));
    EXPECT_TRUE(fs::exists(parent + "/other/lock"));
  }
  fs::remove_all(parent);
}

TEST(RuntimeDirectory, SaysWhatIsWrongWithItsPlace) {
  const auto nowhere = RuntimeDirectory::make("/nonexistent/place");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_NE(nowhere.status().message().find("/nonexistent/place"), std::string::npos);
  const auto deep = RuntimeDirectory::make("/" + std::string(120, 'x'));
  ASSERT_FALSE(deep.ok());
  EXPECT_NE(deep.status().message().find("too long"), std::string::npos);
}

TEST(EngineMetrics, SamplesOfModelsJoinTheirMetric) {
  const std::string own =
      "# HELP tutti:num_requests_running x\n# TYPE tutti:num_requests_running gauge\n"
      "# HELP tutti:e2e x\n# TYPE tutti:e2e histogram\n"
      "# HELP tutti:http_connections x\n# TYPE tutti:http_connections gauge\n"
      "tutti:http_connections 3\n";
  const std::string page =
      "# HELP tutti:num_requests_running x\n# TYPE tutti:num_requests_running gauge\n"
      "tutti:num_requests_running{model_name=\"m\"} 2\n"
      "# HELP tutti:e2e x\n# TYPE tutti:e2e histogram\n"
      "tutti:e2e_bucket{model_name=\"m\",le=\"1\"} 4\ntutti:e2e_sum{model_name=\"m\"} 5\n"
      "# TYPE tutti:http_connections gauge\ntutti:http_connections 99\n";
  const std::string one = merge_metrics(own, {{.replica = "", .text = page}});
  EXPECT_EQ(one,
            "# HELP tutti:num_requests_running x\n# TYPE tutti:num_requests_running gauge\n"
            "tutti:num_requests_running{model_name=\"m\"} 2\n"
            "# HELP tutti:e2e x\n# TYPE tutti:e2e histogram\n"
            "tutti:e2e_bucket{model_name=\"m\",le=\"1\"} 4\ntutti:e2e_sum{model_name=\"m\"} 5\n"
            "# HELP tutti:http_connections x\n# TYPE tutti:http_connections gauge\n"
            "tutti:http_connections 3\n");
  const std::string two =
      merge_metrics(own, {{.replica = "1", .text = page}, {.replica = "2", .text = page}});
  EXPECT_NE(two.find("tutti:num_requests_running{replica=\"1\",model_name=\"m\"} 2\n"
                     "tutti:num_requests_running{replica=\"2\",model_name=\"m\"} 2\n"),
            std::string::npos)
      << two;
}

}  // namespace
}  // namespace tutti
