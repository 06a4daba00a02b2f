// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector gives Prometheus the figures of the data plane and of cluster DNS, read when they are asked for. Laptops
// are told apart by the names of their Connections. The Go runtime's and the controller's own come beside it.
type collector struct{ gateway *gateway }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fairlead_gateway_"+name, help, labels, nil)
}

var (
	servingDesc       = describe("serving", "1 in the pod that serves, 0 in a standby.")
	infoDesc          = describe("info", "The gateway's version.", "version")
	peersDesc         = describe("peers", "Laptops that are let in.")
	relayStreamsDesc  = describe("relay_streams", "Relay streams that are open.")
	bufferedDesc      = describe("buffered_bytes", "Received data that waits for its target.")
	tooBigDesc        = describe("datagrams_too_big_total", "Datagrams that did not fit their UDP path.")
	receivedDesc      = describe("peer_received_bytes_total", "Bytes received from a laptop, as WireGuard counts them.", "connection")
	sentDesc          = describe("peer_sent_bytes_total", "Bytes sent to a laptop, as WireGuard counts them.", "connection")
	handshakeDesc     = describe("peer_last_handshake_seconds", "When a laptop's last WireGuard handshake was, in Unix time; 0 for never.", "connection")
	carrierDesc       = describe("peer_carrier", "1 for the carrier by which a laptop was last heard.", "connection", "carrier")
	mtuDesc           = describe("peer_mtu_bytes", "Largest packet to a laptop.", "connection")
	peerBufferedDesc  = describe("peer_buffered_bytes", "Received data of a laptop that waits for its target.", "connection")
	flowsDesc         = describe("peer_flows", "Open flows of a laptop.", "connection", "protocol")
	flowsOpenedDesc   = describe("peer_flows_opened_total", "Flows that a laptop has opened.", "connection", "protocol")
	flowsRefusedDesc  = describe("peer_flows_refused_total", "Connections of a laptop that were refused because it has too many.", "connection")
	packetsDesc       = describe("peer_packets_dropped_total", "Packets of a laptop that were dropped.", "connection", "reason")
	dnsQueriesDesc    = describe("dns_queries_total", "Questions of laptops to cluster DNS.")
	dnsResponsesDesc  = describe("dns_responses_total", "Answers to laptops.", "rcode")
	sidecarsDesc      = describe("sidecars", "Sidecars that are connected.")
	sidecarsRefused   = describe("sidecar_connections_refused_total", "Connections to the server for sidecars that were not let in.", "reason")
	interceptedDesc   = describe("intercepted_flows", "Intercepted flows that are open.")
	interceptedOpened = describe("intercepted_flows_opened_total", "Intercepted flows and probes that sidecars asked for, by what they were answered.", "result")
	interceptedBytes  = describe("intercepted_bytes_total", "Bytes of intercepted flows.", "direction")
	reviewsDesc       = describe("webhook_reviews_total", "New pods that the API server asked about.", "result")
	dnsUpstreamsFails = describe("dns_upstream_failures_total", "Questions that the cluster's DNS did not answer.")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		servingDesc, infoDesc, peersDesc, relayStreamsDesc, bufferedDesc, tooBigDesc, receivedDesc, sentDesc, handshakeDesc,
		carrierDesc, mtuDesc, peerBufferedDesc, flowsDesc, flowsOpenedDesc, flowsRefusedDesc, packetsDesc,
		dnsQueriesDesc, dnsResponsesDesc, dnsUpstreamsFails,
		sidecarsDesc, sidecarsRefused, interceptedDesc, interceptedOpened, interceptedBytes, reviewsDesc,
	} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	counter := func(desc *prometheus.Desc, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
	}
	gauge(infoDesc, 1, c.gateway.config.Version)
	dns := c.gateway.dns.Stats()
	counter(dnsQueriesDesc, dns.Queries)
	counter(dnsUpstreamsFails, dns.Failures)
	for rcode, n := range dns.ByRcode {
		counter(dnsResponsesDesc, n, rcode)
	}
	if flows := c.gateway.flows.Load(); flows != nil {
		stats := flows.Stats()
		gauge(sidecarsDesc, float64(stats.Sidecars))
		gauge(interceptedDesc, float64(stats.Flows))
		for reason, n := range stats.Refused {
			counter(sidecarsRefused, n, reason)
		}
		for result, n := range stats.Opened {
			counter(interceptedOpened, n, string(result))
		}
		counter(interceptedBytes, stats.ToLaptops, "to_laptop")
		counter(interceptedBytes, stats.FromLaptops, "from_laptop")
	}
	if webhook := c.gateway.webhook.Load(); webhook != nil {
		stats := webhook.Stats()
		counter(reviewsDesc, stats.Injected, "sidecar")
		counter(reviewsDesc, stats.Failed, "failed")
		counter(reviewsDesc, stats.Asked-stats.Injected-stats.Failed, "unchanged")
	}
	plane := c.gateway.tunnel.Load()
	if plane == nil {
		gauge(servingDesc, 0)
		return
	}
	gauge(servingDesc, 1)
	stats, err := plane.Stats()
	if err != nil {
		to <- prometheus.NewInvalidMetric(peersDesc, err)
		return
	}
	gauge(peersDesc, float64(len(stats.Peers)))
	gauge(relayStreamsDesc, float64(stats.RelayStreams))
	gauge(bufferedDesc, float64(stats.BufferedBytes))
	counter(tooBigDesc, stats.TooBig)
	for _, peer := range stats.Peers {
		counter(receivedDesc, peer.RxBytes, peer.Name)
		counter(sentDesc, peer.TxBytes, peer.Name)
		handshake := 0.0
		if !peer.LastHandshake.IsZero() {
			handshake = float64(peer.LastHandshake.UnixMilli()) / 1000
		}
		gauge(handshakeDesc, handshake, peer.Name)
		if peer.Carrier != "" {
			gauge(carrierDesc, 1, peer.Name, peer.Carrier)
		}
		gauge(mtuDesc, float64(peer.MTU), peer.Name)
		gauge(peerBufferedDesc, float64(peer.BufferedBytes), peer.Name)
		gauge(flowsDesc, float64(peer.TCPFlows), peer.Name, "tcp")
		gauge(flowsDesc, float64(peer.UDPFlows), peer.Name, "udp")
		gauge(flowsDesc, float64(peer.EchoFlows), peer.Name, "icmp")
		counter(flowsOpenedDesc, peer.TCPOpened, peer.Name, "tcp")
		counter(flowsOpenedDesc, peer.UDPOpened, peer.Name, "udp")
		counter(flowsOpenedDesc, peer.EchoOpened, peer.Name, "icmp")
		counter(flowsRefusedDesc, peer.RefusedFlows, peer.Name)
		counter(packetsDesc, peer.Malformed, peer.Name, "malformed")
		counter(packetsDesc, peer.Refused, peer.Name, "refused")
		counter(packetsDesc, peer.NoRoom, peer.Name, "no_room")
	}
}
