# Git clean filter for uv.lock: keep every version and hash, drop download addresses.
# The list of members goes too, so that uv resolves again (with the kept versions) and writes the addresses back locally.
s#registry = "[a-z]+://[^"]*"#registry = "index"#g
s#url = "[a-z]+://[^"]*/([^"/]*)"#path = "\1"#g
/^members = \[/,/^\]/d
# Sizes are not given by every index.
s#, size = [0-9]+##g
