// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// AdminGroup may do everything in every test cluster, through a ClusterRoleBinding (not as system:masters, which
// passes over RBAC).
const AdminGroup = "fairlead-test:admins"

// serviceAccountIssuer is the API server's --service-account-issuer.
const serviceAccountIssuer = "https://kubernetes.default.svc.cluster.local"

// AdminKubeconfig is the path of a kubeconfig for user "admin", who may do everything. Like all kubeconfigs here it
// holds the address that nodes and laptops use; the machine itself can't reach that.
func (c *Cluster) AdminKubeconfig() string { return filepath.Join(c.folder, "admin.kubeconfig") }

// UserKubeconfig makes a kubeconfig for a client-certificate user and returns its path, which is the same for the
// same user. It belongs to the laptops' user dev. A user in no group may do what RBAC lets system:authenticated do.
func (c *Cluster) UserKubeconfig(user string, groups ...string) (string, error) {
	path := filepath.Join(c.folder, "kubeconfigs", fileName(user)+".kubeconfig")
	return path, c.writeUserKubeconfig(path, user, developerUID, groups...)
}

func (c *Cluster) writeUserKubeconfig(path, user string, owner int, groups ...string) error {
	certificate, key, err := c.authority.client("user-"+fileName(user), user, groups...)
	if err != nil {
		return err
	}
	return c.writeKubeconfig(path, owner, user, &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key})
}

// TokenKubeconfig makes a kubeconfig with a token of the service account that expires after ttl, and returns its
// path. The service account is created if missing. A ttl below the ten minutes that the API server hands out at
// least is fine, zero and less make a token that has expired.
func (c *Cluster) TokenKubeconfig(ctx context.Context, namespace, serviceAccount string, ttl time.Duration) (string, error) {
	accounts := c.kubernetes.CoreV1().ServiceAccounts(namespace)
	_, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: serviceAccount}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("create service account: %w", err)
	}
	account, err := accounts.Get(ctx, serviceAccount, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read service account: %w", err)
	}
	token, err := c.signToken(account, time.Now(), ttl)
	if err != nil {
		return "", err
	}
	path := filepath.Join(c.folder, "kubeconfigs", fmt.Sprintf("token-%s-%s.kubeconfig", namespace, serviceAccount))
	return path, c.writeKubeconfig(path, developerUID, serviceAccount, &clientcmdapi.AuthInfo{Token: token})
}

// signToken makes a service account token as the API server would (JWT with ES256, RFC 7519), with the cluster's key.
func (c *Cluster) signToken(account *corev1.ServiceAccount, now time.Time, ttl time.Duration) (string, error) {
	key, err := loadKey(c.certificateFile("service-account.key"))
	if err != nil {
		return "", err
	}
	claims := map[string]any{
		"iss": serviceAccountIssuer, "aud": []string{serviceAccountIssuer},
		"sub": fmt.Sprintf("system:serviceaccount:%s:%s", account.Namespace, account.Name),
		"iat": now.Add(-time.Hour).Unix(), "nbf": now.Add(-time.Hour).Unix(), "exp": now.Add(ttl).Unix(),
		"kubernetes.io": map[string]any{
			"namespace":      account.Namespace,
			"serviceaccount": map[string]string{"name": account.Name, "uid": string(account.UID)},
		},
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode token: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode(payload)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	// A JWT has both numbers of the signature side by side, 32 bytes each (RFC 7518 §3.4).
	return signed + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)), nil
}

func (c *Cluster) writeKubeconfig(path string, owner int, user string, credentials *clientcmdapi.AuthInfo) error {
	authority, err := os.ReadFile(c.certificateFile("ca.crt"))
	if err != nil {
		return fmt.Errorf("read certificate authority: %w", err)
	}
	name := "fairlead-" + c.config.Name
	config := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: c.plan.apiServer(), CertificateAuthorityData: authority}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{user: credentials},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: user}},
		CurrentContext: name,
	}
	data, err := clientcmd.Write(config)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("create folder for kubeconfig: %w", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	if err := os.Chown(path, owner, -1); err != nil {
		return fmt.Errorf("set owner of kubeconfig: %w", err)
	}
	return nil
}

// connect makes the clients of the test process. They dial from inside node1, because the machine has no route to it.
func (c *Cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.AdminKubeconfig())
	if err != nil {
		return fmt.Errorf("read admin kubeconfig: %w", err)
	}
	config.Dial = c.nodes[0].Dial
	config.QPS, config.Burst = 200, 400
	c.rest = config
	if c.kubernetes, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("make Kubernetes client: %w", err)
	}
	return nil
}

// RESTConfig is a copy of the admin's client configuration, usable in the calling process.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.rest) }

// Kubernetes is the admin's client, usable in the calling process.
func (c *Cluster) Kubernetes() kubernetes.Interface { return c.kubernetes }

func (c *Cluster) certificateFile(name string) string { return filepath.Join(c.folder, "pki", name) }

// fileName makes a name that people chose safe for a path.
func fileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, name)
	if safe == name {
		return safe
	}
	// Names that differ only in what was replaced must not share a file.
	return fmt.Sprintf("%s-%x", safe, sha256.Sum256([]byte(name)))[:len(safe)+9]
}
