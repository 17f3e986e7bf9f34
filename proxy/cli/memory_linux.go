package cli

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"strings"

	"golang.org/x/sys/unix"
)

// releaseProgram gives the pages of the program's file back that are mapped: code, and data
// that is never written. Most of them came in at the start, of packages that run once, and
// with the neighbours of what was needed. What is used again is mapped again, from the page
// cache, when it is.
func releaseProgram() {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }()
	here := reflect.ValueOf(releaseProgram).Pointer()
	var readOnly []mapping
	var program string
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		m, ok := parseMapping(lines.Text())
		if !ok || m.writable() {
			continue
		}
		readOnly = append(readOnly, m)
		if m.start <= here && here < m.end {
			program = m.file
		}
	}
	for _, m := range readOnly {
		if m.file == program {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
		}
	}
}

// A mapping is a line of /proc/PID/maps, of a file.
type mapping struct {
	start, end uintptr
	mode, file string
}

func (m mapping) writable() bool { return strings.Contains(m.mode, "w") }

// parseMapping reads a line; ok is false where no file is mapped.
func parseMapping(line string) (m mapping, ok bool) {
	var offset, inode uint64
	var device string
	if _, err := fmt.Sscanf(line, "%x-%x %s %x %s %d", &m.start, &m.end, &m.mode, &offset, &device, &inode); err != nil {
		return mapping{}, false
	}
	at := strings.IndexByte(line, '/')
	if inode == 0 || at < 0 {
		return mapping{}, false
	}
	m.file = line[at:]
	return m, true
}
