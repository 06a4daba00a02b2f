// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	agent "github.com/fairlead-dev/fairlead/agent/tunnel"
	"github.com/vishvananda/netlink"
)

// refusalTime is after which a connection that nobody answers counts as refused.
const refusalTime = 2 * time.Second

// theGateway is the gateway's process, as the laptop sees it.
var theGateway *gatewayProcess

// gatewayProcess is told what to do line by line and answers each line with another.
type gatewayProcess struct {
	process   *exec.Cmd
	services  *exec.Cmd
	in        io.WriteCloser
	out       *bufio.Scanner
	publicKey string
}

func startGateway() (*gatewayProcess, error) {
	g := &gatewayProcess{process: exec.Command("/proc/self/exe")}
	g.process.Env = append(os.Environ(), roleVariable+"=gateway")
	g.process.Stderr = os.Stderr
	g.process.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in, err := g.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := g.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.in, g.out = in, bufio.NewScanner(out)
	return g, g.process.Start()
}

// begin makes the gateway's side of the network and starts what listens there.
func (g *gatewayProcess) begin() error {
	key, err := g.ask("start")
	if err != nil {
		return err
	}
	g.publicKey = key
	g.services = exec.Command("nsenter", "--net="+namespaceOf(g.process.Process.Pid), "/proc/self/exe")
	g.services.Path, g.services.Args = mustLookPath("nsenter"), []string{
		"nsenter", "--net=" + namespaceOf(g.process.Process.Pid), executable(),
	}
	g.services.Env = append(os.Environ(), roleVariable+"=services")
	g.services.Stderr = os.Stderr
	g.services.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ready, err := g.services.StdoutPipe()
	if err != nil {
		return err
	}
	if err := g.services.Start(); err != nil {
		return err
	}
	_, err = bufio.NewReader(ready).ReadString('\n')
	return err
}

func mustLookPath(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		panic(err)
	}
	return path
}

func executable() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

func (g *gatewayProcess) ask(line string) (string, error) {
	if _, err := fmt.Fprintln(g.in, line); err != nil {
		return "", err
	}
	if !g.out.Scan() {
		return "", fmt.Errorf("the gateway ended: %w", errors.Join(g.out.Err(), io.ErrUnexpectedEOF))
	}
	if message, failed := strings.CutPrefix(g.out.Text(), "error: "); failed {
		return "", errors.New(message)
	}
	return g.out.Text(), nil
}

// tell tells the gateway something that must work.
func (g *gatewayProcess) tell(t testing.TB, line string) string {
	t.Helper()
	answer, err := g.ask(line)
	if err != nil {
		t.Fatalf("gateway: %s: %v", line, err)
	}
	return answer
}

func (g *gatewayProcess) stop() error {
	err := errors.Join(g.in.Close(), g.process.Wait())
	if g.services != nil {
		err = errors.Join(err, g.services.Process.Kill())
		_ = g.services.Wait() // killed
	}
	return err
}

// gateway is the process in the role of the gateway.
type gateway struct {
	key    agent.Key
	tunnel *agent.Tunnel
	cancel context.CancelFunc
	peer   *agent.Peer
}

// runGateway obeys lines from standard input until it ends.
func runGateway() {
	var g gateway
	for i := range g.key {
		g.key[i] = byte(i + 1)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := g.obey(lines.Text())
		if err != nil {
			answer = "error: " + strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		fmt.Println(answer)
	}
	os.Exit(0)
}

func (g *gateway) obey(line string) (string, error) {
	command, argument, _ := strings.Cut(line, " ")
	switch command {
	case "start":
		if err := setUpGateway(); err != nil {
			return "", err
		}
		return g.start()
	case "restart": // forgets all sessions
		g.cancel()
		g.tunnel.Close()
		return g.start()
	case "peer": // a laptop's public key
		key, err := base64.StdEncoding.DecodeString(argument)
		if err != nil {
			return "", err
		}
		if g.peer != nil {
			g.tunnel.RemovePeer(g.peer.PublicKey)
		}
		g.peer = &agent.Peer{
			Name: "laptop", PublicKey: agent.Key(key),
			Laptop: []netip.Addr{laptopTunnel, laptopTunnel6}, Gateway: []netip.Addr{gatewayTunnel, gatewayTunnel6},
		}
		return "ok", g.tunnel.SetPeer(*g.peer)
	case "udp": // block or allow
		action := map[string]string{"block": "-A", "allow": "-D"}[argument]
		for _, tool := range []string{"iptables", "ip6tables"} {
			out, err := exec.Command(tool, "-w", action, "INPUT", "-p", "udp", "--dport", fmt.Sprint(udpPort), "-j", "DROP").CombinedOutput()
			if err != nil {
				return "", fmt.Errorf("%s: %w: %s", tool, err, out)
			}
		}
		return "ok", nil
	case "dial": // port: connect to the laptop
		ctx, cancel := context.WithTimeout(context.Background(), refusalTime)
		defer cancel()
		conn, err := g.tunnel.DialTCP(ctx, g.peer.PublicKey, uint16(atoi(argument)))
		if err != nil {
			return "", err
		}
		return "ok", conn.Close()
	case "memory":
		runtime.GC()
		return residentMemory(os.Getpid())
	}
	return "", fmt.Errorf("unknown command %q", line)
}

func (g *gateway) start() (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	config := agent.Config{PrivateKey: g.key, UDPPort: udpPort}
	if os.Getenv("FAIRLEAD_TEST_VERBOSE") != "" {
		config.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var err error
	if g.tunnel, err = agent.New(config); err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", relayPort))
	if err != nil {
		return "", err
	}
	go func() { _ = g.tunnel.ServeRelay(ctx, listener) }()
	if g.peer != nil {
		if err := g.tunnel.SetPeer(*g.peer); err != nil {
			return "", err
		}
	}
	public := g.tunnel.PublicKey()
	return base64.StdEncoding.EncodeToString(public[:]), nil
}

// setUpGateway makes the gateway's network: its link, and services on its loopback interface.
func setUpGateway() error {
	if err := raise("lo", netip.PrefixFrom(service, 32), netip.PrefixFrom(service6, 128)); err != nil {
		return err
	}
	if err := raise(gatewayDevice, gatewayLink, gatewayLink6); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
		return err
	}
	if err := useCubic(); err != nil {
		return err
	}
	link, err := netlink.LinkByName(gatewayDevice)
	if err != nil {
		return err
	}
	return netlink.LinkSetTxQLen(link, 1000)
}
