package egress

import (
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
)

// shortages are what socket(2) and connect(2) say when it is this machine, or what it
// gives this process, that there is not enough of.
var shortages = []syscall.Errno{
	syscall.EMFILE,  // descriptors of this process
	syscall.ENFILE,  // … of all
	syscall.ENOBUFS, // memory of the kernel
	syscall.ENOMEM,  // …

	// What Windows has for the first of them and for the third: WSAEMFILE, WSAENOBUFS.
	10024, 10055,
}

// isShortage reports that err, of a dial, is a want of this machine: of descriptors, ports
// or memory.
func isShortage(err error) bool {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return slices.Contains(shortages, errno) || errno == syscall.EADDRNOTAVAIL && toIPv4(err)
	}
	// A resolver needs sockets, too. That of Go gives the text alone of why it had none, and that
	// of the system says that there is no such host: whether it can be true, another socket tells.
	dns, ok := errors.AsType[*net.DNSError](err)
	if !ok {
		return false
	}
	if slices.ContainsFunc(shortages, func(errno syscall.Errno) bool { return strings.HasSuffix(dns.Err, ": "+errno.Error()) }) {
		return true
	}
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		errno, ok := errors.AsType[syscall.Errno](err)
		return ok && slices.Contains(shortages, errno)
	}
	_ = probe.Close()
	return false
}

// toIPv4 reports that err is of a connect to an IPv4 address. There EADDRNOTAVAIL says that all
// ports are in use. To an IPv6 address it is said for ever where a machine has IPv6 turned off,
// and so no address to connect from: nothing is short then.
func toIPv4(err error) bool {
	op, _ := errors.AsType[*net.OpError](err)
	if op == nil {
		return false
	}
	to, _ := op.Addr.(*net.TCPAddr)
	return to != nil && to.IP.To4() != nil
}
