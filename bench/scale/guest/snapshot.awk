# Prints one JSON object about memory and sockets. It reads the files of /proc that the command line names. The
# variables event, name and base are set with -v; base has the figures of the mark "baseline".
FILENAME ~ /uptime/ { up = $1 }
FILENAME ~ /meminfo/ { sub(":", "", $1); mem[$1] = $2 }
FILENAME ~ /sockstat/ && $1 == "TCP:" { inuse = $3; tw = $7; alloc = $9; pages = $11 }
FILENAME ~ /file-nr/ { filenr = $1 }
FILENAME ~ /slabinfo/ && FNR > 2 { kb = $15 * $6 * 4; if (kb >= 2048) slabs = slabs (slabs == "" ? "" : ",") "\"" $1 "\":" kb }
FILENAME ~ /\/status/ && $1 == "Name:" { who = $2 }
FILENAME ~ /\/status/ && $1 == "VmRSS:" { rss[who] = $2 }
FILENAME ~ /\/status/ && $1 == "Threads:" { thr[who] = $2 }
FILENAME ~ /zoneinfo/ && $1 == "count:" { spare += $2 * 4 } # free pages in lists of a CPU, which MemFree does not include
FILENAME ~ /netstat/ && $1 == "TcpExt:" { if (++nx == 1) { for (i = 2; i <= NF; i++) col[i] = $i } else for (i = 2; i <= NF; i++) ext[col[i]] = $i }
END {
  used = mem["MemTotal"] - mem["MemFree"] - spare - mem["Buffers"] - mem["Cached"]
  kern = used - mem["AnonPages"]
  s = rss["server"] + 0; g = rss["generator"] + 0; pairs = int(inuse / 2)
  printf "{\"source\":\"lab\",\"t\":%s,\"event\":\"%s\",\"name\":\"%s\",\"pairs\":%d,\"server_rss_kb\":%d,\"server_threads\":%d,\"generator_rss_kb\":%d,", up, event, name, pairs, s, thr["server"], g
  printf "\"kernel_kb\":%d,\"slab_kb\":%d,\"tcp_mem_kb\":%d,\"pagetables_kb\":%d,\"vmalloc_kb\":%d,\"free_kb\":%d,\"available_kb\":%d,\"tcp_alloc\":%d,\"tcp_tw\":%d,\"open_files\":%d,", kern, mem["Slab"], pages * 4, mem["PageTables"], mem["VmallocUsed"], mem["MemFree"] + spare, mem["MemAvailable"], alloc, tw, filenr
  printf "\"listen_overflows\":%d,\"listen_drops\":%d,\"abort_on_memory\":%d,\"memory_pressures\":%d", ext["ListenOverflows"], ext["ListenDrops"], ext["TCPAbortOnMemory"], ext["TCPMemoryPressures"]
  if (base == "") { print s, g, kern, pairs >"/run/base" }
  else if (split(base, b, " ") == 4 && pairs > b[4] + 100)
    printf ",\"server_bytes_per_conn\":%d,\"generator_bytes_per_conn\":%d,\"kernel_bytes_per_conn\":%d", (s - b[1]) * 1024 / (pairs - b[4]), (g - b[2]) * 1024 / (pairs - b[4]), (kern - b[3]) * 1024 / (pairs - b[4])
  printf ",\"slabs_kb\":{%s}}\n", slabs
}
