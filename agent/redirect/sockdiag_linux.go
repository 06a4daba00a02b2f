// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// sockDiag speaks the kernel's sock_diag protocol (man sock_diag, linux/inet_diag.h).
type sockDiag struct {
	conn *netlink.Conn
}

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	sockDestroy      = 21 // SOCK_DESTROY

	diagInfo     = 2  // INET_DIAG_INFO: struct tcp_info
	diagIPv6Only = 11 // INET_DIAG_SKV6ONLY
	diagMark     = 15 // INET_DIAG_MARK

	// States of TCP; sockets of UDP without a peer are closed (include/net/tcp_states.h).
	stateEstablished = 1
	stateClosed      = 7
	stateListen      = 10
	allStates        = 0xffffffff

	socketNameSize = 48 // struct inet_diag_sockid
	requestSize    = 8 + socketNameSize
	messageSize    = 4 + socketNameSize + 20
)

// request for the sockets of a family with a name, the zero parts of which match any.
func request(family, protocol uint8, states uint32, name []byte) []byte {
	data := make([]byte, requestSize)
	data[0], data[1] = family, protocol
	data[2] = 1 << (diagInfo - 1)
	binary.NativeEndian.PutUint32(data[4:], states)
	copy(data[8:], name)
	return data
}

func (s sockDiag) connections(port uint16) ([]Connection, error) {
	name := make([]byte, socketNameSize)
	binary.BigEndian.PutUint16(name, port)
	var all []Connection
	err := s.list(unix.IPPROTO_TCP, stateEstablished, name, func(c Connection) {
		if c.Local.Port() == port {
			all = append(all, c)
		}
	})
	return all, err
}

// list calls use for each socket of the protocol in the state.
func (s sockDiag) list(protocol uint8, state int, name []byte, use func(Connection)) error {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		answers, err := s.conn.Execute(netlink.Message{
			Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump},
			Data:   request(family, protocol, 1<<state, name),
		})
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("list sockets: the node's kernel lacks the modules tcp_diag and udp_diag: %w", err)
		}
		if err != nil {
			return fmt.Errorf("list sockets: %w", err)
		}
		for _, answer := range answers {
			c, err := parseConnection(answer.Data)
			if err != nil {
				return err
			}
			use(c)
		}
	}
	return nil
}

func (s sockDiag) again(c Connection) (Connection, error) {
	answers, err := s.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request},
		Data:   request(c.name[0], unix.IPPROTO_TCP, allStates, c.name[1:]),
	})
	if gone(err) || err == nil && len(answers) == 0 {
		return Connection{}, errGone
	}
	if err != nil {
		return Connection{}, fmt.Errorf("look at a connection: %w", err)
	}
	return parseConnection(answers[0].Data)
}

func (s sockDiag) destroy(c Connection) error {
	_, err := s.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDestroy, Flags: netlink.Request | netlink.Acknowledge},
		Data:   request(c.name[0], unix.IPPROTO_TCP, allStates, c.name[1:]),
	})
	switch {
	case err == nil:
		return nil
	case gone(err):
		return errGone
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		return ErrCannotDestroy
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("close a connection to the app: the sidecar lacks CAP_NET_ADMIN: %w", err)
	default:
		return fmt.Errorf("close a connection to the app: %w", err)
	}
}

func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) }

// parseConnection reads struct inet_diag_msg and its attributes. The name of a connection is its family and what the kernel
// calls its id, with the cookie that no later connection of the same addresses has.
func parseConnection(data []byte) (Connection, error) {
	if len(data) < messageSize {
		return Connection{}, fmt.Errorf("read a connection: only %d bytes", len(data))
	}
	id := data[4 : 4+socketNameSize]
	c := Connection{name: append([]byte{data[0]}, id...)}
	size := 16
	if data[0] == unix.AF_INET {
		size = 4
	}
	local, _ := netip.AddrFromSlice(id[4 : 4+size])
	remote, _ := netip.AddrFromSlice(id[20 : 20+size])
	c.Local = netip.AddrPortFrom(local.Unmap(), binary.BigEndian.Uint16(id))
	c.Remote = netip.AddrPortFrom(remote.Unmap(), binary.BigEndian.Uint16(id[2:]))
	c.Unread = binary.NativeEndian.Uint32(data[56:])
	c.Unacknowledged = binary.NativeEndian.Uint32(data[60:])
	attributes, err := netlink.UnmarshalAttributes(data[messageSize:])
	if err != nil {
		return Connection{}, fmt.Errorf("read a connection: %w", err)
	}
	for _, attribute := range attributes {
		switch {
		case attribute.Type == diagMark && len(attribute.Data) == 4:
			c.ours = binary.NativeEndian.Uint32(attribute.Data)>>16 == mark
		case attribute.Type == diagIPv6Only && len(attribute.Data) == 1:
			c.ipv6Only = attribute.Data[0] != 0
		case attribute.Type == diagInfo:
			c.addInfo(attribute.Data)
		}
	}
	return c, nil
}

// addInfo reads struct tcp_info (linux/tcp.h), whose end older kernels lack. A connection without it looks busy.
func (c *Connection) addInfo(info []byte) {
	at := func(offset int) uint64 {
		if len(info) < offset+8 {
			return 0
		}
		return binary.NativeEndian.Uint64(info[offset:])
	}
	half := func(offset int) uint32 {
		if len(info) < offset+4 {
			return 0
		}
		return binary.NativeEndian.Uint32(info[offset:])
	}
	milliseconds := func(offset int) time.Duration { return time.Duration(half(offset)) * time.Millisecond }
	c.LastSent, c.LastReceived, c.LastAck = milliseconds(44), milliseconds(52), milliseconds(56)
	c.Sent, c.Received, c.Unsent = at(120)+uint64(c.Unacknowledged), at(128), half(144)
	c.SegmentsIn, c.SegmentsOut = half(152), half(156)
}
