// What a model's directory lacks, seen before anything is loaded: files that are not what their
// names say, downloads that stopped, the parts that text needs.
#pragma once
#include <string>

#include "base/status.h"

namespace tutti {

/// Ok unless a JSON file of the model is a pointer of Git LFS, a web page, empty or a link to
/// nowhere. The error says which, and what to type.
Status check_json_files(const std::string& directory);

/// Ok unless weights are missing that an index names, or that a file of a stopped download will
/// become. The error counts them, and says how the download goes on.
Status check_download(const std::string& directory);

/// Why the model cannot chat, or not even read text, and what to do; "" if it can.
std::string missing_for_chat(const std::string& directory);

/// `status` of a directory that has to be downloaded, with the command.
Status with_download(const Status& status, const std::string& directory);

/// "hf download ORG/NAME", of a directory of the cache; of another one with where to put it.
std::string download_command(const std::string& directory);

}  // namespace tutti
