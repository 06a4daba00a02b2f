// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"github.com/fairlead-dev/fairlead/agent/netstack"
	"github.com/fairlead-dev/fairlead/agent/wireguard"
)

// Stats are the figures of a Tunnel. Counters count from the start of the tunnel, or of the peer.
type Stats struct {
	Peers         []PeerStats
	RelayStreams  int
	BufferedBytes int64  // received data that waits for its target, of all peers
	TooBig        uint64 // batches of datagrams that did not fit their UDP path
	ReceiveBuffer int    // of the UDP socket in bytes, as the node allows it; 0 if unknown
}

// PeerStats are the figures of one laptop.
type PeerStats struct {
	Name          string
	PublicKey     Key
	LastHandshake time.Time // zero if there was none
	LastHeard     time.Time // when its last authentic packet or probe came; zero for never
	Carrier       string    // by which it was last heard: udp, relay, or empty
	Endpoint      string    // its UDP address, if that is the carrier
	MTU           int       // of packets to it, in bytes
	RxBytes       uint64    // from the laptop, as WireGuard counts
	TxBytes       uint64    // to the laptop
	netstack.Stats
}

// Stats returns the figures of the moment.
func (t *Tunnel) Stats() (Stats, error) {
	state, err := readDevice(t.device)
	if err != nil {
		return Stats{}, err
	}
	stats := Stats{RelayStreams: t.bind.Streams(), BufferedBytes: t.budget.Used(), TooBig: t.bind.TooBig()}
	stats.ReceiveBuffer, _ = wireguard.UDPReceiveBuffer() // 0 where it is unknown
	for _, m := range t.mux.all() {
		config := m.config.Load()
		wg := state.peers[config.PublicKey]
		p := PeerStats{
			Name: config.Name, PublicKey: config.PublicKey,
			LastHandshake: wg.lastHandshake, LastHeard: m.lastHeard(), RxBytes: wg.rx, TxBytes: wg.tx,
			Stats: m.stack.Stats(),
		}
		way := t.mux.way(m)
		p.MTU = m.mtu(way)
		if way != nil {
			p.Carrier = way.Carrier.String()
			if way.Carrier == wireguard.UDP {
				p.Endpoint = way.Address.String()
			}
		}
		stats.Peers = append(stats.Peers, p)
	}
	return stats, nil
}

// deviceState is what WireGuard tells of itself.
type deviceState struct {
	port  int
	peers map[Key]devicePeer
}

type devicePeer struct {
	lastHandshake time.Time
	endpoint      string // as the endpoint writes itself; empty for none
	rx, tx        uint64
}

// readDevice asks WireGuard.
func readDevice(d *device.Device) (deviceState, error) {
	text, err := d.IpcGet()
	if err != nil {
		return deviceState{}, fmt.Errorf("read WireGuard's state: %w", err)
	}
	return parseDevice(text), nil
}

// parseDevice reads the text of WireGuard's configuration protocol (wireguard.com/xplatform). What it does not know it
// skips.
func parseDevice(text string) deviceState {
	state := deviceState{peers: map[Key]devicePeer{}}
	var key Key
	var sec, nsec int64
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		p := state.peers[key]
		switch name {
		case "listen_port":
			state.port, _ = strconv.Atoi(value)
			continue
		case "public_key":
			b, err := hex.DecodeString(value)
			if err != nil || len(b) != len(key) {
				continue
			}
			key, sec, nsec = Key(b), 0, 0
			state.peers[key] = devicePeer{}
			continue
		case "last_handshake_time_sec":
			sec, _ = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec":
			nsec, _ = strconv.ParseInt(value, 10, 64)
		case "endpoint":
			p.endpoint = value
		case "rx_bytes":
			p.rx, _ = strconv.ParseUint(value, 10, 64)
		case "tx_bytes":
			p.tx, _ = strconv.ParseUint(value, 10, 64)
		default:
			continue
		}
		if sec != 0 || nsec != 0 {
			p.lastHandshake = time.Unix(sec, nsec)
		}
		if key != (Key{}) {
			state.peers[key] = p
		}
	}
	return state
}
