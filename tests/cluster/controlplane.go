// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

const (
	apiServerName = "kube-apiserver"
	kubeProxyName = "kube-proxy"
)

// issueCertificates makes every key and kubeconfig of the cluster.
func (c *Cluster) issueCertificates() error {
	folder := filepath.Join(c.folder, "pki")
	var err error
	if c.authority, err = newAuthority(folder, "ca"); err != nil {
		return err
	}
	frontProxy, err := newAuthority(folder, "front-proxy-ca")
	if err != nil {
		return err
	}
	if _, _, err := frontProxy.client("front-proxy-client", "front-proxy-client"); err != nil {
		return err
	}
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", c.plan.Nodes[0].Name}
	if err := c.authority.server("apiserver", names, c.apiServerAddresses()); err != nil {
		return err
	}
	if _, _, err := c.authority.client("apiserver-kubelet-client", "apiserver-kubelet-client", "system:masters"); err != nil {
		return err
	}
	// The certificate is of no use; the key signs service account tokens.
	if _, _, err := c.authority.client("service-account", "service-account"); err != nil {
		return err
	}
	for name, user := range map[string]string{
		"controller-manager": "system:kube-controller-manager", "scheduler": "system:kube-scheduler", "kube-proxy": "system:kube-proxy",
	} {
		if err := c.writeComponentKubeconfig(c.certificateFile(name+".kubeconfig"), user); err != nil {
			return err
		}
	}
	for _, member := range c.plan.Nodes {
		if err := c.issueNodeCertificates(member); err != nil {
			return err
		}
	}
	return c.writeUserKubeconfig(c.AdminKubeconfig(), "admin", 0, "system:masters")
}

func (c *Cluster) writeComponentKubeconfig(path, user string, groups ...string) error {
	certificate, key, err := c.authority.client("component-"+fileName(user), user, groups...)
	if err != nil {
		return err
	}
	return c.writeKubeconfig(path, 0, user, &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key})
}

func (c *Cluster) etcd() host.Component {
	return c.kubernetesComponent(c.plan.Nodes[0], "etcd",
		"--name=node1", "--data-dir=/var/lib/etcd/data", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=node1=http://127.0.0.1:2380",
	)
}

func (c *Cluster) apiServer() host.Component {
	bind := "0.0.0.0"
	if c.plan.dual() {
		bind = "::"
	}
	return c.kubernetesComponent(c.plan.Nodes[0], apiServerName,
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address="+bind, "--secure-port=6443", "--advertise-address="+c.plan.Nodes[0].IPv4.String(),
		"--service-cluster-ip-range="+c.plan.family(serviceRange4, serviceRange6),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true", "--profiling=false",
		"--client-ca-file="+c.certificateFile("ca.crt"),
		"--tls-cert-file="+c.certificateFile("apiserver.crt"), "--tls-private-key-file="+c.certificateFile("apiserver.key"),
		"--kubelet-client-certificate="+c.certificateFile("apiserver-kubelet-client.crt"),
		"--kubelet-client-key="+c.certificateFile("apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority="+c.certificateFile("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer="+serviceAccountIssuer,
		"--service-account-key-file="+c.certificateFile("service-account.key"),
		"--service-account-signing-key-file="+c.certificateFile("service-account.key"),
		"--requestheader-client-ca-file="+c.certificateFile("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file="+c.certificateFile("front-proxy-client.crt"),
		"--proxy-client-key-file="+c.certificateFile("front-proxy-client.key"),
	)
}

func (c *Cluster) controllers() []host.Component {
	node := c.plan.Nodes[0]
	credentials := func(name string) []string {
		path := c.certificateFile(name + ".kubeconfig")
		return []string{"--kubeconfig=" + path, "--authentication-kubeconfig=" + path, "--authorization-kubeconfig=" + path,
			"--bind-address=127.0.0.1", "--leader-elect=false",
			// With the default of 20 requests per second the controllers need 5 s to start.
			"--kube-api-qps=300", "--kube-api-burst=600"}
	}
	manager := append(credentials("controller-manager"),
		"--allocate-node-cidrs=true", "--cluster-cidr="+c.plan.family(podRange4, podRange6),
		"--service-cluster-ip-range="+c.plan.family(serviceRange4, serviceRange6),
		"--cluster-signing-cert-file="+c.certificateFile("ca.crt"), "--cluster-signing-key-file="+c.certificateFile("ca.key"),
		"--root-ca-file="+c.certificateFile("ca.crt"),
		"--service-account-private-key-file="+c.certificateFile("service-account.key"), "--use-service-account-credentials=true",
	)
	return []host.Component{
		c.kubernetesComponent(node, "kube-controller-manager", manager...),
		c.kubernetesComponent(node, "kube-scheduler", credentials("scheduler")...),
	}
}

// waitAPIServer waits until the API server is ready for everything.
func (c *Cluster) waitAPIServer(ctx context.Context) error {
	return poll(ctx, "API server", time.Minute, func() error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return c.kubernetes.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// RestartAPIServer ends the API server and starts it again, and returns when it is ready, for pods too.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	if err := c.StopAPIServer(ctx); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	return c.WaitAPIService(ctx)
}

// WaitAPIService waits until pods reach the API server by its Service. The API server takes itself out of that Service
// when it ends, and kube-proxy may need half a minute to see it back: it asks ever more rarely while nobody answers.
func (c *Cluster) WaitAPIService(ctx context.Context) error {
	return poll(ctx, "API server's Service", 2*time.Minute, func() error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		conn, err := c.nodes[0].Dial(ctx, "tcp", netip.AddrPortFrom(apiService4, 443).String())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// RestartKubeProxy ends kube-proxy on every node and starts it again, and returns when pods reach the API server. After
// the API server was away several times kube-proxy takes up to a minute to see it again, and pods can't reach it
// meanwhile. Tests of what pods do then need not wait for that.
func (c *Cluster) RestartKubeProxy(ctx context.Context) error {
	for _, node := range c.nodes {
		if err := node.StopComponent(ctx, kubeProxyName, time.Second); err != nil {
			return err
		}
		if err := node.StartComponent(ctx, c.kubeProxy(node.Member)); err != nil {
			return err
		}
	}
	return c.WaitAPIService(ctx)
}

// StopAPIServer ends the API server, after a second of grace for open requests.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	return c.nodes[0].StopComponent(ctx, apiServerName, time.Second)
}

// StartAPIServer starts the API server after StopAPIServer, and returns when it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.nodes[0].StartComponent(ctx, c.apiServer()); err != nil {
		return err
	}
	return c.waitAPIServer(ctx)
}

// registerNodes creates the Node objects with their pod ranges, so that these are known before a node's kubelet and
// its pod network start.
func (c *Cluster) registerNodes(ctx context.Context) error {
	for _, member := range c.plan.Nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: member.Name, Labels: map[string]string{corev1.LabelHostname: member.Name}}}
		if member.Name == c.plan.Nodes[0].Name {
			node.Labels["node-role.kubernetes.io/control-plane"] = ""
		}
		node.Spec.PodCIDR = member.Pods4.String()
		node.Spec.PodCIDRs = []string{member.Pods4.String()}
		if c.plan.dual() {
			node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, member.Pods6.String())
		}
		_, err := c.kubernetes.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("register %s: %w", member.Name, err)
		}
	}
	return nil
}

// waitNodes waits until every node is ready for pods.
func (c *Cluster) waitNodes(ctx context.Context) error {
	return poll(ctx, "nodes to be ready", time.Minute, func() error {
		nodes, err := c.kubernetes.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, node := range nodes.Items {
			if !nodeReady(node) {
				return fmt.Errorf("%s is not ready", node.Name)
			}
		}
		return nil
	})
}

func nodeReady(node corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
