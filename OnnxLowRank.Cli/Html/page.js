
// Draws the page's charts, and lets readers search and sort its tables.
'use strict';
(() => {
  const root = document.documentElement;
  const groups = JSON.parse(document.getElementById('charts').textContent);
  const paperWidth = 680; // px of a printed page between its margins
  const color = name => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const short = value => Number(value.toPrecision(4)).toLocaleString('en', { maximumSignificantDigits: 4 });

  function bytes(value) {
    const [factor, unit] = value >= 1e9 ? [1e9, 'GB'] : value >= 1e6 ? [1e6, 'MB'] : value >= 1e3 ? [1e3, 'KB'] : [1, 'B'];
    return `${Number((value / factor).toPrecision(3))} ${unit}`;
  }

  function text(axis, value) {
    return axis.unit === 'Bytes' ? bytes(value) : Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential(1) : short(value);
  }

  // On a logarithmic axis only 1, 2 and 5 times a power of ten are named.
  const isNamed = value => [1, 2, 5].includes(Number((value / 10 ** Math.floor(Math.log10(value) + 1e-9)).toPrecision(6)));

  // The end of a name says most.
  const fitted = (name, most) => name.length <= most ? name : `…${name.slice(1 - most)}`;

  function scale(chart, axis, isVertical) {
    const isLog = axis.scale === 'Logarithmic';
    return {
      type: isLog ? 'logarithmic' : 'linear',
      title: { display: axis.title !== '', text: axis.title, color: color('muted') },
      grid: { color: color('line') },
      border: { color: color('line') },
      grace: !isLog && chart.series.some(series => series.mark === 'Points') ? '5%' : 0,
      ticks: {
        color: color('muted'), maxRotation: 0, autoSkipPadding: 12,
        callback: value => isLog && !isNamed(value) ? null : text(axis, value),
      },
      afterDataLimits(range) {
        for (const line of chart.references.filter(line => line.isVertical !== isVertical)) {
          range.min = Math.min(range.min, line.at);
          range.max = Math.max(range.max, line.at);
        }
      },
    };
  }

  function names(chart, width) {
    return {
      type: 'category',
      grid: { display: false },
      border: { color: color('line') },
      ticks: {
        color: color('ink'), autoSkip: false,
        callback(index) { return fitted(chart.categories[index], width < 600 ? 18 : 36); },
      },
    };
  }

  const lines = chart => ({
    id: 'references',
    afterDatasetsDraw({ ctx, chartArea: { left, right, top, bottom }, scales: { x, y } }) {
      ctx.save();
      ctx.setLineDash([5, 4]);
      ctx.font = '12px system-ui, sans-serif';
      const taken = [];
      for (const line of chart.references) {
        ctx.strokeStyle = ctx.fillStyle = color(line.hue == null ? 'bad' : `series-${line.hue % 5}`);
        const at = (line.isVertical ? x : y).getPixelForValue(line.at);
        const [x1, y1, x2, y2] = line.isVertical ? [at, top, at, bottom] : [left, at, right, at];
        ctx.beginPath();
        ctx.moveTo(x1, y1);
        ctx.lineTo(x2, y2);
        ctx.stroke();
        const isLeft = line.isVertical && at > (left + right) / 2;
        ctx.textAlign = line.isVertical && !isLeft ? 'left' : 'right';
        const where = line.isVertical ? at + (isLeft ? -6 : 6) : right - 6, width = ctx.measureText(line.name).width;
        const box = { left: where - (ctx.textAlign === 'right' ? width : 0), right: where + (ctx.textAlign === 'right' ? 0 : width), y: line.isVertical ? top + 14 : at < top + 20 ? at + 14 : at - 6 };
        while (taken.some(other => Math.abs(other.y - box.y) < 14 && other.left < box.right && box.left < other.right)) {
          box.y += line.isVertical || at < (top + bottom) / 2 ? 14 : -14;
        }
        taken.push(box);
        ctx.fillText(line.name, where, box.y);
      }
      ctx.restore();
    },
  });

  const within = (axis, value) => Math.min(Number(value), axis.most ?? Infinity);

  function dataset(chart, series, index) {
    const own = color(`series-${(series.hue ?? index) % 5}`);
    const points = series.points.map(point => ({ x: within(chart.x, point.x), y: within(chart.y, point.y), exact: point, note: point.note }));
    const isBar = series.mark === 'Bars', isLine = series.mark === 'Line';
    return {
      label: series.name,
      data: isBar ? points.map(point => point.x) : points,
      notes: points.map(point => point.note),
      backgroundColor: own, borderColor: own, borderWidth: isBar ? 0 : 2,
      showLine: isLine,
      borderDash: isLine ? [[], [7, 3], [2, 2], [8, 3, 2, 3], [4, 6]][index % 5] : [],
      pointBorderWidth: 1.5,
      pointStyle: isBar ? 'rect' : isLine && points.length > 1 ? 'line' : ['circle', 'crossRot', 'triangle', 'rect', 'star'][index % 5],
      pointRadius: isLine && points.length > 1 ? 0 : points.length > 40 ? 4 : 6, pointHitRadius: 8,
      barPercentage: 0.9, categoryPercentage: 0.75,
    };
  }

  function label(chart, item) {
    const value = chart.categories
      ? text(chart.x, item.parsed.x)
      : `${chart.x.title} ${text(chart.x, Number(item.raw.exact.x))}, ${chart.y.title} ${text(chart.y, Number(item.raw.exact.y))}`;
    return `${item.dataset.label}: ${value}`;
  }

  function configuration(chart, width) {
    const isBars = chart.categories != null;
    return {
      type: isBars ? 'bar' : 'scatter',
      data: { labels: chart.categories, datasets: chart.series.map((series, i) => dataset(chart, series, i)) },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, devicePixelRatio: Math.max(2, window.devicePixelRatio),
        indexAxis: isBars ? 'y' : 'x',
        interaction: isBars ? { mode: 'index', axis: 'y', intersect: false } : { mode: 'nearest', intersect: true },
        scales: { x: scale(chart, chart.x, false), y: isBars ? names(chart, width) : scale(chart, chart.y, true) },
        plugins: {
          legend: {
            display: chart.series.length > 1,
            labels: { color: color('ink'), usePointStyle: true, boxHeight: 8, generateLabels(drawn) {
              return Chart.defaults.plugins.legend.labels.generateLabels(drawn).map(item => ({ ...item, text: fitted(item.text, width < 600 ? 24 : 48) }));
            } },
          },
          tooltip: {
            callbacks: {
              title: items => isBars && items.length > 0 ? chart.categories[items[0].dataIndex] : '',
              label: item => label(chart, item),
              afterBody: items => items.flatMap(item => (item.dataset.notes[item.dataIndex] ?? '').split('\n').filter(Boolean)),
            },
          },
        },
      },
      plugins: [lines(chart)],
    };
  }

  const drawn = new Map();

  function draw(figure) {
    const group = groups[figure.dataset.chart];
    const chart = group[figure.querySelector('select')?.value ?? 0];
    const plot = figure.querySelector('.plot');
    figure.querySelector('.about').textContent = chart.description;
    drawn.get(figure)?.destroy();
    const isPrint = root.classList.contains('print');
    const height = chart.categories ? 90 + 30 * chart.categories.length : 352;
    plot.style.height = `${height}px`;
    plot.style.width = isPrint ? `${paperWidth}px` : '';
    drawn.set(figure, new Chart(figure.querySelector('canvas'), configuration(chart, plot.clientWidth)));
  }

  const figures = [...document.querySelectorAll('figure[data-chart]')];
  function drawAll() {
    figures.forEach(draw);
  }

  for (const figure of figures) {
    figure.querySelector('select')?.addEventListener('change', () => draw(figure));
  }
  drawAll();
  root.dataset.chartsDrawn = drawn.size;
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  addEventListener('beforeprint', () => { root.classList.add('print'); drawAll(); });
  addEventListener('afterprint', () => { root.classList.remove('print'); drawAll(); });

  function value(row, column) {
    const cell = row.cells[column], data = cell.querySelector('data');
    return data ? Number(data.value) : cell.textContent;
  }

  // Empty cells come last, whichever way rows are sorted.
  function compare(a, b, sign) {
    return (a === '') - (b === '') || sign * (typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', { numeric: true }));
  }

  function sort(header, headers, body) {
    const column = headers.indexOf(header), isUp = header.ariaSort !== 'ascending';
    headers.forEach(other => other.removeAttribute('aria-sort'));
    header.setAttribute('aria-sort', isUp ? 'ascending' : 'descending');
    const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column), isUp ? 1 : -1));
    body.append(...rows);
  }

  for (const box of document.querySelectorAll('.searchable')) {
    const body = box.querySelector('tbody'), headers = [...box.querySelectorAll('thead th')];
    for (const header of headers) {
      const button = document.createElement('button');
      button.append(...header.childNodes);
      button.addEventListener('click', () => sort(header, headers, body));
      header.append(button);
    }
    const tools = document.createElement('label'), input = document.createElement('input'), count = document.createElement('span');
    tools.className = 'search';
    input.type = 'search';
    count.setAttribute('role', 'status');
    tools.append('Search ', input, count);
    box.prepend(tools);
    const search = () => {
      const wanted = input.value.toLowerCase();
      for (const row of body.rows) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
      }
      count.textContent = `${[...body.rows].filter(row => !row.hidden).length} of ${body.rows.length}`;
    };
    input.addEventListener('input', search);
    search();
  }
})();
