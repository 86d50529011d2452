# cmake --install BUILD [--prefix P]: a tree that works under any prefix, moved or copied, and for every user.
#   bin/tutti                      finds the rest from where it lies (/proc/self/exe)
#   lib/tutti/libtutti_cuda.so     if it was built
#   share/tutti/models/tiny-r1     the model that ships with tutti
#   share/doc/tutti                README.md and what it links to
#   share/man/man1, share/bash-completion, share/zsh, share/fish    what the program says of itself
set(doc share/doc/tutti)
set(plugin_folders "")
if(TARGET tutti_cuda)
  set(plugin_folders lib lib/tutti)
endif()
set(readable OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

# Who installs is often not who runs, and cmake makes folders as the umask says. Those that were there are left alone.
install(CODE "
  foreach(folder . bin ${plugin_folders} share share/tutti share/tutti/models share/doc share/man share/bash-completion share/bash-completion/completions
          share/zsh share/zsh/site-functions share/fish share/fish/vendor_completions.d ${doc}
          ${doc}/bench ${doc}/models ${doc}/models/tiny-r1 ${doc}/tests ${doc}/tests/golden ${doc}/tests/inventory)
    set(path \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${folder}\")
    if(NOT EXISTS \"\${path}\")
      file(MAKE_DIRECTORY \"\${path}\")
      file(CHMOD \"\${path}\" PERMISSIONS ${readable})
    endif()
  endforeach()")

# Fixed places under the prefix, since the program looks there: no lib64 and no lib/x86_64-linux-gnu.
install(TARGETS tutti RUNTIME DESTINATION bin)
if(TARGET tutti_cuda)
  install(TARGETS tutti_cuda LIBRARY DESTINATION lib/tutti OPTIONAL)
endif()
install(DIRECTORY models/tiny-r1/checkpoint/ DESTINATION share/tutti/models/tiny-r1
  DIRECTORY_PERMISSIONS ${readable})
install(FILES README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md LICENSE DESTINATION ${doc})
install(DIRECTORY docs DESTINATION ${doc} DIRECTORY_PERMISSIONS ${readable})
install(FILES bench/README.md DESTINATION ${doc}/bench)
install(DIRECTORY bench/results DESTINATION ${doc}/bench DIRECTORY_PERMISSIONS ${readable})
install(FILES models/tiny-r1/README.md DESTINATION ${doc}/models/tiny-r1)
install(FILES tests/golden/README.md DESTINATION ${doc}/tests/golden)
install(FILES tests/inventory/mock_nvml.md DESTINATION ${doc}/tests/inventory)

# Man pages and completions are made by the program, so here and not when building: a build may be of the program alone.
install(CODE "
  set(tutti ${CMAKE_CROSSCOMPILING_EMULATOR} \"$<TARGET_FILE:tutti>\")
  set(texts \"${CMAKE_BINARY_DIR}/texts\")
  file(MAKE_DIRECTORY \"\${texts}/man1\")
  execute_process(COMMAND \${tutti} man --all \"\${texts}/man1\" COMMAND_ERROR_IS_FATAL ANY)
  foreach(shell bash zsh fish)
    execute_process(COMMAND \${tutti} completion \${shell} OUTPUT_FILE \"\${texts}/\${shell}\" COMMAND_ERROR_IS_FATAL ANY)
  endforeach()")
set(texts ${CMAKE_BINARY_DIR}/texts)
install(DIRECTORY ${texts}/man1 DESTINATION share/man DIRECTORY_PERMISSIONS ${readable})
install(FILES ${texts}/bash DESTINATION share/bash-completion/completions RENAME tutti)
install(FILES ${texts}/zsh DESTINATION share/zsh/site-functions RENAME _tutti)
install(FILES ${texts}/fish DESTINATION share/fish/vendor_completions.d RENAME tutti.fish)
