if(TUTTI_SANITIZE)
  add_compile_options(-fsanitize=${TUTTI_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TUTTI_SANITIZE})
  # g++ warns of every fence, since TSan does not follow them; Asio's order nothing that its mutexes do not.
  if(TUTTI_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)
  endif()
  # clang 14 cannot emit its call-type check in coroutines ("difference across sections").
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_options(-fno-sanitize=function)
  endif()
endif()
if(TUTTI_FUZZ)
  # Coverage of the libraries guides the fuzzers; libFuzzer itself is linked into fuzz_* only.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
