package proxy

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// processAt is the process that opened the other end of a socket. (unix(7),
// SO_PEERCRED.) One of another container has no number here.
func processAt(conn *net.UnixConn) (pid int, ok bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	var credentials *syscall.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		credentials, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if controlErr != nil || err != nil || credentials.Pid <= 0 {
		return 0, false
	}
	return int(credentials.Pid), true
}

// lookForProcesses finds the processes that hold one end of a connection of
// loopback: those that we may look at, which are our user's.
func lookForProcesses() map[netip.AddrPort]int {
	ends := make(map[string]netip.AddrPort) // socket, as the files of a process name it → its own end
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		readEnds(table, ends)
	}
	found := make(map[netip.AddrPort]int, len(ends))
	directories, _ := filepath.Glob("/proc/[0-9]*/fd")
	for _, directory := range directories {
		pid, err := strconv.Atoi(strings.Split(directory, "/")[2])
		if err != nil {
			continue
		}
		files, _ := os.ReadDir(directory) // it may be another user's, or have ended
		for _, file := range files {
			target, err := os.Readlink(filepath.Join(directory, file.Name()))
			if err != nil {
				continue
			}
			end, ok := ends[target]
			if first, shared := found[end]; ok && (!shared || pid < first) {
				found[end] = pid
			}
		}
	}
	return found
}

// readEnds reads the connections of loopback in a table of proc(5).
func readEnds(table string, ends map[string]netip.AddrPort) {
	file, err := os.Open(table) // #nosec G304 -- one of two that are written above
	if err != nil {
		return
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if socket, end, ok := parseEnd(lines.Text()); ok && end.Addr().IsLoopback() {
			ends[socket] = end
		}
	}
}

// isEstablished is the state of an open connection in these tables.
const isEstablished = "01"

// parseEnd reads one line: its number, both ends, the state, and further on the
// inode of the socket.
func parseEnd(line string) (socket string, end netip.AddrPort, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != isEstablished {
		return "", netip.AddrPort{}, false
	}
	host, port, _ := strings.Cut(fields[1], ":")
	address, err := hex.DecodeString(host)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil {
		return "", netip.AddrPort{}, false
	}
	for word := address; len(word) >= 4; word = word[4:] { // each as the machine has it
		binary.BigEndian.PutUint32(word, binary.NativeEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(address)
	return "socket:[" + fields[9] + "]", netip.AddrPortFrom(ip.Unmap(), uint16(number)), ok
}
