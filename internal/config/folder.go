package config

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"
)

// configEnv names the settings file; it is not a setting itself.
const configEnv = "PARLEY_CONFIG"

const folderName = "parley"

func homeFolder() (string, error) {
	xdg.Reload()
	if xdg.Home == "" || os.Getenv("HOME") == "" && xdg.Home == "/" {
		return "", errors.New("no home folder is known")
	}
	return xdg.Home, nil
}

// dataFolder is $XDG_DATA_HOME/parley.
func dataFolder() (string, error) {
	if _, err := homeFolder(); err != nil && os.Getenv("XDG_DATA_HOME") == "" {
		return "", err
	}
	return filepath.Join(xdg.DataHome, folderName), nil
}

// configFile is $XDG_CONFIG_HOME/parley/config.toml.
func configFile() string {
	xdg.Reload()
	return filepath.Join(xdg.ConfigHome, folderName, "config.toml")
}

func stateFolder() string {
	xdg.Reload()
	return filepath.Join(xdg.StateHome, folderName)
}

func workFolder() string {
	dir, err := os.Getwd()
	if err != nil {
		return string(filepath.Separator)
	}
	return dir
}
