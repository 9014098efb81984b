"""Look and table sorting of the report: plain CSS and JavaScript, nothing loaded."""

STYLE = """
:root{--ink:#1d2327;--soft:#5c6670;--line:#d8dde2;--paper:#fff;--tint:#f4f6f8;--mark:#b34700}
*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}
body{margin:0 auto;padding:1.5rem clamp(1rem,4vw,3rem) 4rem;max-width:78rem;color:var(--ink);background:var(--paper);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
h1{font-size:1.9rem;line-height:1.2;margin:.5rem 0}
h2{margin:2.6rem 0 .6rem;padding-top:1rem;border-top:1px solid var(--line);font-size:1.35rem}
h3{font-size:1.05rem;margin:1.6rem 0 .4rem}p{max-width:68ch}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1rem;font-size:.92rem}a{color:var(--mark)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.8rem;margin:1.2rem 0;padding:0;list-style:none}
.facts li{background:var(--tint);border-radius:.5rem;padding:.7rem .9rem}
.facts b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}.facts span{color:var(--soft);font-size:.86rem}
figure{margin:1.2rem 0}figure img{max-width:100%;height:auto;border:1px solid var(--line);border-radius:.3rem}
figcaption,.note{color:var(--soft);font-size:.9rem;max-width:80ch}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.4rem;max-height:36rem}
table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .6rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right}td.n{white-space:nowrap}td:last-child{min-width:9rem}
thead th{position:sticky;top:0;background:var(--tint);font-weight:600}
th button{all:unset;cursor:pointer}th button:focus-visible{outline:2px solid}
th[aria-sort=ascending] button::after{content:" ▲"}th[aria-sort=descending] button::after{content:" ▼"}
.find{margin:.4rem 0;padding:.35rem .6rem;border:1px solid var(--line);border-radius:.3rem;font:inherit;max-width:100%}
pre{background:var(--tint);padding:.8rem;overflow-x:auto;font-size:.82rem;border-radius:.4rem}
@media print{nav,.find{display:none}.scroll{max-height:none;overflow:visible}
body{max-width:none;font-size:11px}h2{break-after:avoid}figure,tr{break-inside:avoid}}
"""

SCRIPT = """
document.querySelectorAll('table.sortable').forEach(function(table){
  var body=table.tBodies[0];
  table.querySelectorAll('thead th').forEach(function(head,index){
    head.querySelector('button').addEventListener('click',function(){
      var up=head.getAttribute('aria-sort')!=='ascending';
      table.querySelectorAll('thead th').forEach(function(h){h.removeAttribute('aria-sort')});
      head.setAttribute('aria-sort',up?'ascending':'descending');
      Array.from(body.rows).sort(function(a,b){
        var x=a.cells[index],y=b.cells[index],p=x.dataset.value,q=y.dataset.value;
        if(p===undefined&&q===undefined)return x.textContent.localeCompare(y.textContent)*(up?1:-1);
        if(p===''||p===undefined)return 1;if(q===''||q===undefined)return -1;
        return (p-q)*(up?1:-1);
      }).forEach(function(row){body.appendChild(row)});
    });
  });
  var find=table.closest('section').querySelector('.find');
  if(find)find.addEventListener('input',function(){
    var word=find.value.toLowerCase();
    Array.from(body.rows).forEach(function(row){row.hidden=!row.textContent.toLowerCase().includes(word)});
  });
});
"""
