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
func lookForProcesses() map[ends]int {
	sockets := make(map[string]ends) // as the files of a process name it → of it as the client
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		readSockets(table, sockets)
	}
	found := make(map[ends]int, len(sockets))
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
			connection, ok := sockets[target]
			if first, shared := found[connection]; ok && (!shared || pid < first) {
				found[connection] = pid
			}
		}
	}
	return found
}

// readSockets reads the connections of loopback in a table of proc(5).
func readSockets(table string, sockets map[string]ends) {
	file, err := os.Open(table) // #nosec G304 -- one of two that are written above
	if err != nil {
		return
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if socket, connection, ok := parseSocket(lines.Text()); ok && connection.client.Addr().IsLoopback() {
			sockets[socket] = connection
		}
	}
}

// isEstablished is the state of an open connection in these tables.
const isEstablished = "01"

// parseSocket reads one line: its number, both ends, its own first, the state, and further
// on the inode of the socket.
func parseSocket(line string) (socket string, connection ends, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != isEstablished {
		return "", ends{}, false
	}
	client, known := parseEnd(fields[1])
	server, both := parseEnd(fields[2])
	return "socket:[" + fields[9] + "]", ends{client, server}, known && both
}

// parseEnd reads an address in hexadecimal digits, and a port.
func parseEnd(field string) (end netip.AddrPort, ok bool) {
	host, port, _ := strings.Cut(field, ":")
	address, err := hex.DecodeString(host)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil {
		return netip.AddrPort{}, false
	}
	for word := address; len(word) >= 4; word = word[4:] { // each as the machine has it
		binary.BigEndian.PutUint32(word, binary.NativeEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(address)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), ok
}
