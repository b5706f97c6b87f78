// Charts in the look of the pages: colours from CSS variables, times in the viewer's zone, texts as text.
import { echarts } from "nicegui-echart";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const severities = { notice: "--notice", warning: "--warning", critical: "--critical" };
const rank = (severity) => Object.keys(severities).indexOf(severity);
const narrow = "\u202f";

function number(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e12 || size < 1e-4)) return value.toExponential(3).replace("-", "−");
  const whole = size >= 1 ? String(Math.trunc(size)).length : 0;
  const digits = Math.max(0, 5 - whole);
  return value
    .toLocaleString("en-US", { maximumFractionDigits: digits })
    .replaceAll(",", narrow).replace("-", "−");
}

function axisNumber(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(4)} M`.replace("-", "−");
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(4)} k`.replace("-", "−");
  return String(+value.toPrecision(6)).replace("-", "−");
}

function look() {
  const muted = css("--muted"), line = css("--line"), text = css("--text");
  const axis = {
    axisLine: { lineStyle: { color: line } },
    axisTick: { lineStyle: { color: line } },
    axisLabel: { color: muted, fontSize: 11 },
    splitLine: { lineStyle: { color: line, width: 1, opacity: 0.7 } },
    nameTextStyle: { color: muted, fontSize: 11 },
  };
  return {
    color: ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"].map(css),
    backgroundColor: "transparent",
    textStyle: { color: text, fontFamily: css("--font") },
    title: { textStyle: { color: text } },
    legend: { textStyle: { color: muted, fontSize: 12 }, inactiveColor: line, itemWidth: 14, itemHeight: 8 },
    timeAxis: { ...axis, splitLine: { show: false } },
    valueAxis: { ...axis, axisLine: { show: false }, axisTick: { show: false } },
    logAxis: { ...axis, axisLine: { show: false }, axisTick: { show: false } },
    categoryAxis: { ...axis, splitLine: { show: false } },
    visualMap: { textStyle: { color: muted } },
  };
}

// CSS variables in places of colours only: a name from outside is never one.
function coloured(value, key = "") {
  if (typeof value === "string") {
    const found = /colou?r$/i.test(key) && /^var\((--[a-z0-9-]+)\)$/.exec(value);
    return found ? css(found[1]) : value;
  }
  if (Array.isArray(value)) return value.length && typeof value[0] === "number" ? value : value.map((each) => coloured(each, key));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, coloured(each, name)]));
  }
  return value;
}

const tooltipLook = () => ({
  confine: true,
  appendTo: undefined,
  backgroundColor: css("--surface"),
  borderColor: css("--line-strong"),
  borderWidth: 1,
  padding: [8, 10],
  extraCssText: "box-shadow: var(--shadow); max-width: min(340px, 80vw); white-space: normal;",
  textStyle: { color: css("--text"), fontSize: 12 },
  transitionDuration: 0,
});

function node(tag, text, classes) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

function row(colour, name, value, unit) {
  const made = node("div", undefined, "tip-row");
  const dot = node("span", undefined, "tip-dot");
  if (typeof colour === "string") dot.style.background = colour;
  made.append(dot, node("span", name, "tip-name"), node("span", unit ? `${value} ${unit}` : value, "tip-value num"));
  return made;
}

function heading(ms) {
  const date = new Date(ms), made = node("div", undefined, "tip-head");
  made.append(node("strong", window.iot.shown(date, "full")), node("span", window.iot.utc(date), "muted"));
  return made;
}

function seriesOptions(spec, width) {
  const small = width < 480;
  const shownMarks = spec.marks || [];
  const series = [];
  const band = spec.band;
  const bandAt = new Map();
  if (band) {
    for (const [ts, low, high] of band.points) if (low !== null && high !== null) bandAt.set(ts, [low, high]);
    const common = { type: "line", stack: "band", stackStrategy: "all", symbol: "none", step: "end", silent: true, lineStyle: { width: 0 }, tooltip: { show: false }, z: 1 };
    series.push({ ...common, name: "\u0000low", data: band.points.map(([ts, low, high]) => [ts, low === null || high === null ? null : low]) });
    series.push({
      ...common, name: band.name, areaStyle: { color: css("--band"), opacity: 1 }, itemStyle: { color: css("--band") },
      data: band.points.map(([ts, low, high]) => [ts, low === null || high === null ? null : high - low]),
    });
  }
  spec.lines.forEach((line, index) => {
    const colour = css(line.colour || `--c${(index % 6) + 1}`);
    const few = line.points.length <= 3 || line.kind === "points";
    const made = {
      name: line.name, type: line.kind === "bar" ? "bar" : "line", data: line.points, z: 3,
      itemStyle: { color: colour }, lineStyle: { color: colour, width: 1.75, type: line.dashed ? [4, 4] : "solid" },
      showSymbol: few, symbol: "circle", symbolSize: 5, connectNulls: false, emphasis: { disabled: true },
      sampling: line.points.length > 4000 ? "lttb" : undefined,
    };
    if (line.kind === "step") made.step = "end";
    if (line.kind === "points") made.lineStyle.width = 0;
    if (line.kind === "area") made.areaStyle = { color: colour, opacity: 0.12 };
    if (line.kind === "bar") made.barMaxWidth = 18;
    series.push(made);
  });
  if (shownMarks.length) {
    series.push({
      name: "flags", type: "scatter", z: 5, symbolSize: shownMarks.length > 12 ? 6 : 9, itemStyle: { color: css("--critical") },
      // The most severe are drawn last: marks may lie on each other.
      data: [...shownMarks].sort((one, other) => rank(one[3]) - rank(other[3])).map(([ts, value, reason, severity]) => ({
        value: [ts, value], reason, severity,
        itemStyle: { color: css(severities[severity] || "--warning") },
      })),
    });
  }
  const named = spec.lines.length > 1 || band || shownMarks.length;
  return {
    animation: false,
    grid: { left: 6, right: small ? 10 : 16, top: spec.unit ? 30 : 14, bottom: named ? 30 : 6, containLabel: true },
    legend: named ? { bottom: 0, left: 0, type: "scroll", icon: "roundRect", data: series.map((one) => one.name).filter((name) => !name.startsWith("\u0000")) } : undefined,
    xAxis: { type: "time", min: spec.since ?? undefined, max: spec.until ?? undefined, splitNumber: small ? 3 : 7, axisLabel: { hideOverlap: true, formatter: axisTime } },
    yAxis: { type: "value", scale: true, name: spec.unit, nameLocation: "end", nameGap: 12, nameTextStyle: { align: "left", padding: [0, 0, 0, 0] }, splitNumber: small ? 4 : 5, axisLabel: { formatter: axisNumber } },
    dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, filterMode: "none" }],
    tooltip: {
      ...tooltipLook(), trigger: "axis", axisPointer: { lineStyle: { color: css("--line-strong") } },
      formatter: (items) => {
        const list = Array.isArray(items) ? items : [items];
        const made = node("div", undefined, "tip");
        const ts = list[0]?.value?.[0] ?? list[0]?.axisValue;
        made.append(heading(ts));
        for (const item of list) {
          if (item.seriesName.startsWith("\u0000") || (band && item.seriesName === band.name && item.componentSubType === "line" && item.seriesIndex === 1)) continue;
          if (item.data && item.data.reason !== undefined) {
            made.append(row(item.color, "flag", number(item.value[1]), spec.unit), node("div", item.data.reason, "tip-reason"));
          } else if (item.value[1] !== null) {
            made.append(row(item.color, item.seriesName, number(item.value[1]), spec.unit));
          }
        }
        const expected = bandAt.get(ts);
        if (expected) made.append(row(css("--band-edge"), band.name, `${number(expected[0])} to ${number(expected[1])}`, spec.unit));
        return made;
      },
    },
    series,
  };
}

function axisTime(ms) {
  const date = new Date(ms);
  if (date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0) {
    return date.getDate() === 1 && date.getMonth() === 0
      ? String(date.getFullYear())
      : date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  }
  return date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(date.getSeconds() ? { second: "2-digit" } : {}) });
}

function otherOptions(given) {
  const options = coloured(given);
  const tooltip = { ...tooltipLook(), ...(options.tooltip || {}) };
  if (!tooltip.formatter && options.tooltip !== false) {
    tooltip.formatter = (items) => {
      const list = Array.isArray(items) ? items : [items];
      const made = node("div", undefined, "tip");
      const first = list[0];
      if (first.axisType === "xAxis.time" && Number.isFinite(first.axisValue)) made.append(heading(first.axisValue));
      else if (first.name) made.append(node("strong", first.name));
      for (const item of list) {
        const one = Array.isArray(options.series) ? options.series[item.seriesIndex] : options.series;
        const value = Array.isArray(item.value) ? item.value[item.value.length - 1] : item.value;
        const name = list.length > 1 || first.name === "" ? item.seriesName : item.data?.label_text ?? item.seriesName;
        made.append(row(item.color, name || "", typeof value === "number" ? number(value) : String(value ?? "–"), item.data?.unit ?? one?.unit));
        if (item.data?.reason) made.append(node("div", item.data.reason, "tip-reason"));
      }
      return made;
    };
  }
  return { animation: false, ...options, tooltip };
}

export default {
  template: '<div class="chart-canvas" role="img" :aria-label="label" :class="{ pickable }"></div>',
  props: { spec: Object, label: String, pickable: Boolean },
  mounted() {
    this.start();
    this.again = () => { this.chart?.dispose(); this.start(); };
    window.addEventListener("iot-theme", this.again);
    this.observer = new ResizeObserver(() => {
      const width = this.$el.clientWidth;
      if (!this.chart || !width) return;
      this.chart.resize();
      if ((width < 480) !== (this.width < 480)) this.refresh();
      this.width = width;
    });
    this.observer.observe(this.$el);
  },
  beforeUnmount() {
    window.removeEventListener("iot-theme", this.again);
    this.observer?.disconnect();
    this.chart?.dispose();
    this.chart = null;
  },
  methods: {
    start() {
      this.chart = echarts.init(this.$el, look());
      this.width = this.$el.clientWidth;
      if (this.pickable) {
        this.chart.getZr().on("click", (event) => this.picked(event));
        this.chart.on("click", (event) => {
          if (!this.spec.options) return;
          const { seriesName, name, value, dataIndex } = event;
          this.$emit("pick", { seriesName, name, value, dataIndex });
        });
      }
      this.refresh();
    },
    refresh() {
      if (!this.chart) return;
      // Vue's proxies would be walked by ECharts at every point.
      const spec = JSON.parse(JSON.stringify(this.spec));
      this.chart.setOption(spec.options ? otherOptions(spec.options) : seriesOptions(spec, this.$el.clientWidth), { notMerge: true });
    },
    picked(event) {
      if (this.spec.options || !this.chart.containPixel("grid", [event.offsetX, event.offsetY])) return;
      const at = this.chart.convertFromPixel({ xAxisIndex: 0 }, event.offsetX);
      let best = null;
      for (const line of this.spec.lines) {
        for (const [ts, value] of line.points) {
          if (value !== null && (best === null || Math.abs(ts - at) < Math.abs(best - at))) best = ts;
        }
      }
      if (best !== null) this.$emit("pick", { ts: best });
    },
  },
};
