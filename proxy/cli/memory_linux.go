package cli

import (
	"bufio"
	"fmt"
	"io"
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
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }()
	here := reflect.ValueOf(releaseProgram).Pointer()
	list := readMappings(maps)
	var program string
	for _, m := range list {
		if m.start <= here && here < m.end {
			program = m.file
		}
	}
	for _, m := range list {
		if m.file == program && m.asInFile() {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
		}
	}
}

// A mapping is a part of a file in /proc/PID/smaps.
type mapping struct {
	start, end uintptr
	mode, file string
	changed    bool // a page of it is no longer what the file has
}

// asInFile reports that all of it can be had from the file again. What may not be written
// may have been: the addresses of a program that is moved to where it is loaded, as each is
// that was built with -buildmode=pie, are put in before its data is made read-only.
func (m mapping) asInFile() bool { return !strings.Contains(m.mode, "w") && !m.changed }

// readMappings reads the mappings of files.
func readMappings(smaps io.Reader) (list []mapping) {
	inFile := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		name, value, _ := strings.Cut(line, " ")
		switch m, ok := parseMapping(line); {
		case ok:
			list, inFile = append(list, m), true
		case !strings.HasSuffix(name, ":"): // it is of no file
			inFile = false
		case inFile && (name == "Anonymous:" || name == "Swap:"):
			last := &list[len(list)-1]
			last.changed = last.changed || strings.TrimSpace(value) != "0 kB"
		}
	}
	return list
}

// parseMapping reads the first line of a mapping; ok is false where no file is mapped.
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
