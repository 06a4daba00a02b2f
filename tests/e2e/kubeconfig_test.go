// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// writeKubeconfig stores a kubeconfig where the laptop's user can read it.
func writeKubeconfig(t *testing.T, name string, config clientcmdapi.Config) string {
	t.Helper()
	path := filepath.Join(env.Cluster.Folder(), "kubeconfigs", name)
	if err := clientcmd.WriteToFile(config, path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
	return path
}

func TestKubeconfigAsKubectlTakesIt(t *testing.T) {
	laptop := env.Laptop(0)
	path, err := env.Cluster.TokenKubeconfig(t.Context(), "shop", "robot", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	context := whole.Contexts[whole.CurrentContext]
	const robot = "system:serviceaccount:shop:robot"
	connected := func(t *testing.T, as string) {
		t.Helper()
		if status := laptop.Status(t); status.User != as {
			t.Errorf("connected as %q, want %q", status.User, as)
		}
		laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
	}

	t.Run("several files", func(t *testing.T) {
		clusters, users := clientcmdapi.NewConfig(), clientcmdapi.NewConfig()
		clusters.Clusters = whole.Clusters
		users.AuthInfos, users.Contexts, users.CurrentContext = whole.AuthInfos, whole.Contexts, whole.CurrentContext
		list := writeKubeconfig(t, "clusters.kubeconfig", *clusters) + ":" + writeKubeconfig(t, "users.kubeconfig", *users)
		t.Cleanup(func() { laptop.Disconnect(t) })
		laptop.Run(t, "env", "KUBECONFIG="+list, "fairlead", "connect", "--namespace", "shop")
		connected(t, robot)
	})
	t.Run("exec plugin", func(t *testing.T) {
		credential := fmt.Sprintf(`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":%q}}`,
			whole.AuthInfos[context.AuthInfo].Token)
		config := whole.DeepCopy()
		config.AuthInfos[context.AuthInfo] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
			APIVersion: "client.authentication.k8s.io/v1", Command: "sh", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
			// The plugin needs what only the shell of the caller has.
			Args: []string{"-c", `test "$PROFILE" = work && echo '` + credential + `' || { echo "log in to profile work first" >&2; exit 1; }`},
		}}
		file := writeKubeconfig(t, "exec.kubeconfig", *config)
		refused(t, laptop.Try(t, "fairlead", "connect", "--kubeconfig", file), 23, "log in to profile work first")
		t.Cleanup(func() { laptop.Disconnect(t) })
		laptop.Run(t, "env", "PROFILE=work", "fairlead", "connect", "--namespace", "shop", "--kubeconfig", file)
		connected(t, robot)
	})
	t.Run("impersonation", func(t *testing.T) {
		laptop.Connect(t, "--as", "carol", "--as-group", "system:authenticated")
		connected(t, "carol")
	})
	t.Run("proxy", func(t *testing.T) {
		proxy := laptop.Command(t.Context(), harness.User, laptop.TrafficProgram(), "proxy", "127.0.0.1:18888")
		if err := proxy.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { proxy.Process.Kill(); proxy.Wait() }()
		config := whole.DeepCopy()
		config.Clusters[context.Cluster].ProxyURL = "http://127.0.0.1:18888"
		file := writeKubeconfig(t, "proxy.kubeconfig", *config)
		harness.Eventually(t, connectLimit, "connect through the proxy", func() error {
			return exitError(laptop.Try(t, "fairlead", "connect", "--namespace", "shop", "--carrier", "relay", "--kubeconfig", file))
		})
		t.Cleanup(func() { laptop.Disconnect(t) })
		connected(t, robot)
	})
}
