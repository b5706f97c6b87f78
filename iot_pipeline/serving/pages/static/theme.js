// Before anything is painted: light or dark as chosen in this browser, else as the system says.
(() => {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  window.iotTheme = {
    get choice() { try { return localStorage.getItem("iot-theme") || "auto"; } catch { return "auto"; } },
    get dark() { return this.choice === "dark" || (this.choice === "auto" && system.matches); },
    apply() {
      const root = document.documentElement;
      root.dataset.theme = this.dark ? "dark" : "light";
      root.dataset.themeChoice = this.choice;
      root.style.colorScheme = this.dark ? "dark" : "light";
      if (window.Quasar && document.body) window.Quasar.Dark.set(this.dark);
      window.dispatchEvent(new Event("iot-theme"));
    },
    next() {
      const order = ["auto", "light", "dark"];
      const choice = order[(order.indexOf(this.choice) + 1) % 3];
      try { localStorage.setItem("iot-theme", choice); } catch { /* a private window forgets */ }
      this.apply();
      return choice;
    },
  };
  system.addEventListener("change", () => window.iotTheme.apply());
  window.iotTheme.apply();
})();
