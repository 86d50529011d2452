// Tables in documents that come from tables in the code, between "<!-- name -->" and "<!-- end
// -->". With TUTTI_WRITE_DOCS=1 in the environment a test writes them instead of comparing.
#pragma once
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace tutti::testing {

struct DocTable {
  std::string name;
  std::string text;
};

/// Puts `table` where its marks are; returns what was there.
inline std::string exchange_table(std::string& document, const DocTable& table) {
  const std::string mark = "<!-- " + table.name + " -->\n";
  const size_t begin = document.find(mark);
  const size_t end = document.find("<!-- end -->", begin);
  if (begin == std::string::npos || end == std::string::npos) {
    return "no such mark";
  }
  const size_t first = begin + mark.size();
  std::string old = document.substr(first, end - first);
  document.replace(first, end - first, table.text);
  return old;
}

/// `path`: from the source folder.
inline void expect_tables(const std::string& path, const std::vector<DocTable>& tables) {
  const std::string full = std::string(TUTTI_SOURCE_DIR) + "/" + path;
  std::stringstream read;
  read << std::ifstream(full).rdbuf();
  std::string document = read.str();
  ASSERT_FALSE(document.empty()) << full;
  const bool write = std::getenv("TUTTI_WRITE_DOCS") != nullptr;
  for (const DocTable& table : tables) {
    const std::string old = exchange_table(document, table);
    EXPECT_TRUE(write || old == table.text) << "the table of " << table.name << " in " << path
                                            << " differs from the code; to write it, "
                                            << "run this test with TUTTI_WRITE_DOCS=1\n"
                                            << table.text;
  }
  if (write) {
    std::ofstream(full) << document;
  }
}

}  // namespace tutti::testing
